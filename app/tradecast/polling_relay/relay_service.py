"""Relaying as a whole, for one server: what is announced, the way out, and the way in."""

from __future__ import annotations

from collections.abc import Collection

from tradecast.polling_relay.announcement import RelayAnnouncement
from tradecast.polling_relay.forwarder import Forwarder
from tradecast.polling_relay.inbox import Inbox
from tradecast.polling_relay.tls import InternalTls


class RelayService:
    """Relays requests to the servers that own their connections, and takes those that others relay.

    Until `announce` has reached Redis once, sids are plain ones: they work on this server only.

    Attributes:
        announcement: This server's own address and certificates.
        forwarder: Stands before the engine on the public port.
        inbox: Stands before the engine on the internal port.
    """

    def __init__(self, announcement: RelayAnnouncement, forwarder: Forwarder, inbox: Inbox) -> None:
        self.announcement = announcement
        self.forwarder = forwarder
        self.inbox = inbox

    async def announce(self, port: int, *, tls: bool = False) -> None:
        """See `RelayAnnouncement.announce`."""
        await self.announcement.announce(port, tls=tls)

    @property
    def tls(self) -> InternalTls | None:
        """For TLS between servers; None: there is none."""
        return self.announcement.tls

    @property
    def servers(self) -> int:
        """How many other servers have an address."""
        return len(self.announcement.addresses.other_boots)

    @property
    def relays(self) -> Collection[str]:
        """Names of the WebSockets that are relayed to other servers; none that a sid could have."""
        return self.forwarder.relays.names

    def close_relay(self, name: str) -> bool:
        """Close a relayed WebSocket; whether there is one of this name. A standard client reconnects."""
        return self.forwarder.relays.close_relay(name)

    async def close(self) -> None:
        """Withdraw this server's address, and close connections to the others."""
        self.forwarder.close()
        await self.announcement.close()
