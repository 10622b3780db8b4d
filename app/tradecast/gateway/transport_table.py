"""What the gateway keeps of each transport, whichever clients use it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from tradecast.engine.connection import PING_TIMEOUT
from tradecast.engine.frames import POLICY_VIOLATION
from tradecast.engine.http.addresses import Network, find_network
from tradecast.engine.http.request import Request
from tradecast.engine.server import EngineServer
from tradecast.gateway.application import GatewayObserver, Options
from tradecast.gateway.bounds.client_addresses import ClientAddresses
from tradecast.gateway.bounds.packet_allowances import PacketAllowances
from tradecast.gateway.bounds.probes import Probes
from tradecast.gateway.bounds.unconnected import UnconnectedTransports
from tradecast.packets.codec import Incoming

# Of one transport: departures of its clients, after which it is closed, and for how many of them a refusal counts.
MAX_DEPARTURES: Final = 20
REFUSAL: Final = 4


class TransportTable:
    """The transports of a server, and the bounds on them.

    Args:
        engine: Has the transports.
        observer: Counts those that are closed for a bound.
        options: The bounds.

    Attributes:
        unconnected: Transports without a namespace.
        addresses: Transports whose clients are not authenticated, by the address that they come from.
        allowances: How many packets each may send.
        probes: Heartbeats out of turn.
        incomplete: Events whose attachments are still to come.
        notes: What the application keeps of handshakes, until their client is connected.
    """

    def __init__(self, engine: EngineServer, observer: GatewayObserver, options: Options) -> None:
        self._engine = engine
        self._observer = observer
        self._options = options
        self.probes = Probes(engine.sockets)
        # How often a transport's client has left a namespace, once it has; a refusal counts for some.
        self._departures: dict[str, int] = {}
        # Transports that a client has left, and those whose page was left.
        self._left: set[str] = set()
        self._pages_left: set[str] = set()
        self.unconnected = UnconnectedTransports(options.connect_timeout, engine)
        self.addresses = ClientAddresses(options.most_per_address)
        self.allowances = PacketAllowances(options.packet_burst, options.packets_per_second)
        self.incomplete: dict[str, Incoming] = {}
        self.notes: dict[str, str] = {}

    def add(self, eio_sid: str, request: Request) -> None:
        """A transport is open."""
        self.unconnected.add(eio_sid)
        network = self.find_network(request)
        if network is not None:
            self.addresses.add(eio_sid, network)

    def remove(self, eio_sid: str) -> None:
        """A transport is gone; its clients have not left it yet."""
        self.incomplete.pop(eio_sid, None)
        self._departures.pop(eio_sid, None)
        self._left.discard(eio_sid)
        self.allowances.forget(eio_sid)
        self.unconnected.remove(eio_sid)
        self.addresses.remove(eio_sid)
        self.notes.pop(eio_sid, None)

    def connected(self, eio_sid: str, *, authenticated: bool) -> None:
        """A transport's client is connected to a namespace."""
        self.unconnected.remove(eio_sid)
        self.notes.pop(eio_sid, None)
        self._engine.trust(eio_sid)
        if authenticated:
            self.addresses.remove(eio_sid)

    def refused(self, eio_sid: str, *, is_unconnected: bool) -> None:
        """A transport's client was refused."""
        if is_unconnected:
            self.unconnected.refuse(eio_sid)
        self._count_departures(eio_sid, REFUSAL)

    def client_left(self, eio_sid: str, *, is_unconnected: bool) -> None:
        """A transport's client has left a namespace; the transport is there still."""
        self._left.add(eio_sid)
        self._count_departures(eio_sid, 1)
        if is_unconnected:
            self.unconnected.add(eio_sid)

    def _count_departures(self, eio_sid: str, count: int) -> None:
        """A client may try again a few times, and not for ever."""
        departures = self._departures[eio_sid] = self._departures.get(eio_sid, 0) + count
        if departures > MAX_DEPARTURES:
            self._observer.limit_exceeded("connects")
            self._engine.close_transport(eio_sid, POLICY_VIOLATION)

    def has_left(self, eio_sid: str) -> bool:
        """Whether a client of this transport has left it before."""
        return eio_sid in self._left

    def spend_packet(self, eio_sid: str) -> bool:
        """Count a packet; a transport that has sent far too many is closed."""
        if self.allowances.spend(eio_sid):
            return True
        self._observer.limit_exceeded("packets")
        self._engine.close_transport(eio_sid, POLICY_VIOLATION)
        return False

    # -- pages

    def page_left(self, eio_sid: str) -> None:
        """A browser has left the page that a transport belonged to."""
        if eio_sid in self._engine.sockets:
            self._pages_left.add(eio_sid)

    def is_page_left(self, eio_sid: str | None) -> bool:
        """Whether the page of a transport was left."""
        return eio_sid in self._pages_left

    def forget_page(self, eio_sid: str) -> None:
        """The clients of a transport have left it."""
        self._pages_left.discard(eio_sid)

    # -- for the gate before handshakes

    def find_network(self, request: Request) -> Network | None:
        """Where a handshake comes from; None: it is not counted."""
        return find_network(request, self._options.trusted_proxies) if self._options.most_per_address else None

    def has_room_for(self, network: Network) -> bool:
        """Whether an address may open one more transport; a dispensable one of its own is closed for that."""
        if not self.addresses.is_full(network):
            return True
        eio_sid = self.unconnected.take_oldest_of(self.addresses.transports_of(network))
        if eio_sid is None:
            return False
        self._observer.limit_exceeded("address")
        self._engine.abort_transport(eio_sid)
        self.addresses.remove(eio_sid)  # `remove` is called in the next turn
        return True

    def add_waiting(self, network: Network) -> None:
        """A handshake from there waits for its turn."""
        self.addresses.add_waiting(network)

    def remove_waiting(self, network: Network) -> None:
        """The handshake waits no more."""
        self.addresses.remove_waiting(network)

    def make_room(self) -> bool:
        """Close a dispensable transport that is in no namespace; whether there was one."""
        eio_sid = self.unconnected.take_oldest()
        if eio_sid is None:
            return False
        self._observer.limit_exceeded("without_connect")
        self._engine.abort_transport(eio_sid)
        return True

    # -- transports that do not answer

    async def find_silent(self, eio_sids: Collection[str], patience: float) -> dict[str, float]:
        """Find the transports that do not answer within `patience` seconds, and for how long they have been silent.

        The silence is that before the question.
        """
        sockets = self._engine.sockets
        silent_for = {one: sockets[one].silent_for for one in eio_sids if one in sockets}
        return {one: silent_for[one] for one in await self.probes.find_silent(silent_for, patience)}

    def end_silent(self, eio_sid: str) -> bool:
        """End a transport whose client does not answer, as when a heartbeat is not answered; whether it was there."""
        connection = self._engine.sockets.get(eio_sid)
        if connection is None:
            return False
        connection.end(PING_TIMEOUT, None)
        return True

    def close(self) -> None:
        """Stop the timer."""
        self.unconnected.close()
