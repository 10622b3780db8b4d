"""Requests for a connection that another server owns are relayed to it, so that clients need no session affinity.

An Engine.IO sid names the server that made it (`sids`). A server that gets a request with the sid of another one looks
up that server's address in Redis (`addresses`), and relays the request to its internal port (`forwarder`, `owner`),
which takes signed requests only (`signatures`, `inbox`). Nothing that a client says becomes an address.
"""
