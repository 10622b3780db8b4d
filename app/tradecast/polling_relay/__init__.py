"""Requests for a connection that another server owns: passed on to it, so that clients need no session affinity.

An Engine.IO sid names the server that made it (`sids`). A server that gets a request with the sid of another one looks
up where that is in Redis (`directory`), and passes the request on to that server's internal port (`forwarder`), which
takes signed requests only (`signatures`, `inbox`). Nothing that a client says becomes an address.
"""

from tradecast.polling_relay.relay_service import Forwarding

__all__ = ["Forwarding"]
