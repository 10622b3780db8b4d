"""The methods for all servers' clients: what the hub and the cluster are asked for."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tradecast.cluster_rpc.api import ClusterApi
from tradecast.cluster_rpc.cluster import Cluster
from tradecast.cluster_rpc.errors import Incomplete
from tradecast.cluster_rpc.results import RemoteSocket
from tradecast.cluster_rpc.selection import Selection
from tradecast.delivery.envelope import LATEST, VOLATILE, Kind
from tradecast.delivery.event_kinds import NAMES, EventKind, KindName, choose_kind
from tradecast.delivery.hub import Hub

FOUND = RemoteSocket("sid", "server", "id", "u", frozenset(), "websocket", 5.0)


class Below:
    """The hub and the cluster, which only note what they are asked for.

    Attributes:
        calls: What that was.
        error: What `fetch_sockets` raises.
    """

    connections = 7

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.error: Incomplete | None = None

    def choose_kind(self, event: str, said: KindName | None) -> Kind | None:
        return choose_kind(event, EventKind(alternatives=[NAMES["latest"]]), said)

    async def emit(self, *arguments: Any, **options: Any) -> None:
        self.calls.append((*arguments, options))

    async def emit_with_ack(self, *arguments: Any) -> None:
        self.calls.append(arguments)

    async def fetch_sockets(self, *arguments: Any) -> list[RemoteSocket]:
        self.calls.append(arguments)
        if self.error is not None:
            raise self.error
        return [FOUND]

    async def sockets_join(self, *arguments: Any) -> int:
        self.calls.append(arguments)
        return 2

    async def count_user(self, *arguments: Any) -> int:
        self.calls.append(arguments)
        return 3


class Server(ClusterApi):
    """A server that has nothing but the API."""

    def __init__(self) -> None:
        super().__init__()
        self.below = Below()

    @property
    def cluster(self) -> Cluster:
        return cast(Cluster, self.below)

    @property
    def _hub(self) -> Hub:
        return cast(Hub, self.below)


@pytest.fixture
def server() -> Server:
    return Server()


async def test_an_event_goes_to_rooms(server: Server) -> None:
    await server.emit("e", {"a": 1}, to=["room", 5], except_rooms="other", skip_sid="sid")
    await server.emit("e", (1, 2), to="room", volatile=True)
    kept = {"kind": None, "except_rooms": ("other",), "skip": ("sid",)}
    assert server.below.calls == [
        ("e", [{"a": 1}], ("room", "5"), kept),
        ("e", [1, 2], ("room",), {"kind": VOLATILE, "except_rooms": (), "skip": ()}),
    ]


async def test_an_event_may_be_of_another_kind(server: Server) -> None:
    await server.emit("e", 1, to="room", kind="latest")
    await server.emit("e", 1, to="room", kind="latest", volatile=True)  # what was said more exactly
    assert [options["kind"] for *_, options in server.below.calls] == [LATEST, LATEST]
    with pytest.raises(ValueError, match="kind of e is counted or latest, and not volatile"):
        await server.emit("e", 1, to=[], kind="volatile")


async def test_an_event_to_no_room_goes_to_nobody(server: Server) -> None:
    await server.emit("e", 1, to=[])
    assert server.below.calls == []


async def test_without_rooms_everybody_is_asked(server: Server) -> None:
    await server.emit_with_ack("e", to=None, skip_sid=["sid"], timeout=2)
    assert await server.sockets_join(None, "into", except_rooms="room") == 2
    assert server.below.calls == [
        (Selection(skip=("sid",)), "e", [], 2),
        (Selection(except_rooms=("room",)), "into", None),
    ]


async def test_clients_that_are_found_can_be_reached(server: Server) -> None:
    (found,) = await server.fetch_sockets("room")
    assert found.remote is server
    await found.emit("e", 1)
    assert server.below.calls[-1][:3] == ("e", [1], ("sid",))


async def test_so_can_those_of_an_incomplete_answer(server: Server) -> None:
    server.below.error = Incomplete([FOUND], missing=frozenset(["other"]))
    with pytest.raises(Incomplete) as raised:
        await server.fetch_sockets()
    assert [one.remote for one in raised.value.result] == [server]
    assert raised.value.missing == {"other"}


async def test_connections_are_counted_of_a_user_whose_id_is_a_number_too(server: Server) -> None:
    assert server.get_fleet_connection_count() == 7
    assert await server.get_fleet_user_connection_count(5) == 3
    assert server.below.calls == [("5", None)]
