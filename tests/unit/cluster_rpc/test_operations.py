"""What this server does with its own clients when a server asks all to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import orjson
import pytest

from tradecast.cluster_rpc.local_clients import Described, LocalClients
from tradecast.cluster_rpc.operations import KINDS, MAX_DATA, Operations
from tradecast.cluster_rpc.responder import Outcome, UnknownKind
from tradecast.cluster_rpc.selection import Selection
from tradecast.delivery.envelope import Malformed
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.packets.acks import Asked
from tradecast.packets.rooms import LocalManager
from tradecast.packets.socketio_packet import Packet


class Engine:
    def __init__(self) -> None:
        self.made = 0

    def generate_id(self) -> str:
        self.made += 1
        return f"sid{self.made}"


class FakeSocketServer:
    def __init__(self) -> None:
        self.eio = Engine()
        self.packet_class = Packet


class LocalServer:
    """A server's parts, as far as they are needed: sid1 and sid2 are connected, sid3 comes, sid4 has gone."""

    def __init__(self) -> None:
        self.manager = LocalManager()
        self.manager.set_server(FakeSocketServer())
        self.ended: list[str] = []
        self.asked: list[tuple[Any, ...]] = []
        self.unkept: set[str] = set()
        self.data: dict[str, Any] = {}
        self.clients = LocalClients(self, self.manager, self, self)
        self.events: list[tuple[str, int]] = []
        handlers = {"plain": lambda *args: [*args, b"\x00"], "object": lambda: object()}
        self.operations = Operations(self.clients, handlers, self)

    def event_emitted(self, event: str, recipients: int) -> None:
        self.events.append((event, recipients))

    def describe(self, sid: str) -> Described | None:
        return self.described(sid) if sid != "sid2" else None

    def count(self) -> int:
        return 2

    def count_user(self, user_id: str) -> int:
        return {"u1": 2}.get(user_id, 0)

    async def probe(self, user_id: str, patience: float) -> Sequence[tuple[str, float, bool]]:
        return ()

    def replace(self, user_id: str, connection_id: str) -> bool:
        return False

    def described(self, sid: str) -> Described:
        return Described(f"c-{sid}", "u1", "websocket", 5.0, {"issued": 5}, self.data)

    async def begin(self) -> None:
        for number in range(1, 5):
            sid = await self.manager.pre_connect(f"eio{number}", "/")
            assert sid == f"sid{number}"
            if number != 3:
                await self.manager.connect(sid, "/")
            await self.manager.enter_room(sid, "/", "all")
        self.manager.basic_disconnect("sid4", "/")
        await self.manager.enter_room("sid2", "/", "odd one")

    async def join(self, sid: str, room: str) -> None:
        if sid in self.unkept:
            raise AdapterUnavailable("away")
        await self.manager.enter_room(sid, "/", room)

    async def leave(self, sid: str, room: str) -> None:
        await self.manager.leave_room(sid, "/", room)

    def rooms_of(self, sid: str) -> frozenset[str]:
        return frozenset(self.manager.get_rooms(sid, "/")) - {sid}

    async def end(self, sid: str) -> None:
        self.ended.append(sid)

    async def ask(self, sids: Collection[str], event: str, arguments: list[Any], timeout: float) -> Asked:  # noqa: ASYNC109
        self.asked.append((list(sids), event, arguments, timeout))
        asked = Asked(1, [*sids, "large"])
        asked.take("sid1", ["yes"])
        asked.take("large", ["x" * 1_000_000])
        asked.end()
        return asked

    async def do(self, kind: str, body: Any) -> Outcome:
        return await self.operations.run(kind, orjson.loads(orjson.dumps(body)))


@pytest.fixture
async def here() -> LocalServer:
    made = LocalServer()
    await made.begin()
    return made


@pytest.mark.parametrize(
    ("selection", "sids"),
    [
        (Selection(), ["sid1", "sid2"]),
        (Selection.of("all"), ["sid1", "sid2"]),
        (Selection.of(["all", "odd one", "sid1"]), ["sid1", "sid2"]),
        (Selection.of("sid1"), ["sid1"]),
        (Selection.of("sid3"), []),
        (Selection.of("nobody"), []),
        (Selection.of([]), []),
        (Selection.of("all", except_rooms="odd one"), ["sid1"]),
        (Selection.of(None, except_rooms=["sid1"]), ["sid2"]),
        (Selection.of(None, skip="sid2"), ["sid1"]),
    ],
)
async def test_who_is_wholly_connected_is_selected(here: LocalServer, selection: Selection, sids: list[str]) -> None:
    assert sorted(here.clients.select(selection)) == sids
    assert sorted(here.clients.select(Selection.parse(orjson.loads(orjson.dumps(selection.body()))))) == sids


async def test_fetch_tells_what_is_known(here: LocalServer) -> None:
    ((*about, data),) = (await here.do("fetch_sockets", {"r": None})).items
    assert about == ["sid1", "c-sid1", "u1", ["all"], "websocket", 5.0, {"issued": 5}]
    assert orjson.loads(orjson.dumps(data)) == {}


@pytest.mark.parametrize(
    ("noted", "told"),
    [
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        ({"a": b"\x00"}, {"a": {"$bytes": "AA=="}}),
        ({7: (1, 2)}, {"7": [1, 2]}),
        ({"a": "x" * (MAX_DATA - 8)}, {"a": "x" * (MAX_DATA - 8)}),
        ({"a": "x" * (MAX_DATA - 7)}, None),
        ({"a": object()}, None),
        ({"a": 2**70}, None),
        ({"a": "\ud83d"}, None),
    ],
    ids=["values", "bytes", "numbers", "just enough", "too large", "objects", "huge numbers", "half a character"],
)
async def test_what_the_application_noted_is_told_if_it_can_be(
    here: LocalServer, noted: dict[str, Any], told: Any
) -> None:
    here.data = noted
    ((*_, data),) = (await here.do("fetch_sockets", {"r": None})).items
    assert orjson.loads(orjson.dumps(data)) == told


async def test_join_and_leave_count_those_for_whom_it_is_kept(here: LocalServer) -> None:
    assert await here.do("sockets_join", {"r": ["all"], "to": ["x", "y"]}) == Outcome([2])
    assert here.rooms_of("sid1") >= {"x", "y"}
    here.unkept.add("sid1")
    outcome = await here.do("sockets_join", {"r": ["all"], "to": ["z"]})
    assert outcome.items == [1]
    assert "Redis" in outcome.error
    assert await here.do("sockets_leave", {"r": ["x"], "to": ["x"]}) == Outcome([2])
    assert not here.manager.members(["x"])


async def test_disconnect_ends_them(here: LocalServer) -> None:
    assert await here.do("disconnect_sockets", {"r": None, "s": ["sid2"]}) == Outcome([1])
    assert here.ended == ["sid1"]


async def test_acknowledgements(here: LocalServer) -> None:
    body = {"r": None, "e": "confirm", "a": [{"$bytes": "AA=="}], "w": 3}
    items = (await here.do("emit_with_ack", body)).items
    assert orjson.loads(orjson.dumps(items)) == [["sid1", ["yes"]], ["sid2", None, 0], ["large", None, 1]]
    assert [(sorted(sids), *rest) for sids, *rest in here.asked] == [(["sid1", "sid2"], "confirm", [b"\x00"], 3)]
    assert here.events == [("confirm", 2)]


async def test_events_of_servers(here: LocalServer) -> None:
    outcome = await here.do("server_side_emit", {"e": "plain", "a": [1]})
    assert orjson.dumps(list(outcome.items)) == b'[[1,{"$bytes":"AA=="}]]'
    assert "no handler" in (await here.do("server_side_emit", {"e": "unheard of", "a": []})).error
    with pytest.raises(TypeError):
        await here.do("server_side_emit", {"e": "object", "a": []})


async def test_connections_of_a_user(here: LocalServer) -> None:
    assert [(await here.do("count", {"u": user})).items for user in ("u1", "u2")] == [[2], [0]]


BODIES: list[Any] = [
    *(None, 1, "x", [], {}, {"r": 1}, {"r": [1]}, {"r": {}}, {"r": None, "x": "all"}, {"r": None, "s": [None]}),
    *({"u": 1}, {"u": None}, {"e": 1, "a": []}, {"e": "plain", "a": {}}, {"e": "plain", "a": [{"$bytes": 1}]}),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", BODIES, ids=repr)
async def test_bodies_that_are_none(here: LocalServer, kind: str, body: Any) -> None:
    with pytest.raises(Malformed):
        await here.do(kind, body)
    assert not here.ended
    assert not here.asked


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("sockets_join", {}),
        ("sockets_leave", {"to": "x"}),
        ("emit_with_ack", {"e": "x", "a": []}),
        ("emit_with_ack", {"e": "x", "a": [], "w": -1}),
        ("emit_with_ack", {"e": "x", "a": [], "w": True}),
        ("emit_with_ack", {"e": "x", "a": [], "w": 1e9}),
    ],
)
async def test_bodies_that_lack_something(here: LocalServer, kind: str, more: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        await here.do(kind, {"r": None, **more})
    assert here.asked == []


async def test_a_kind_that_is_not_known(here: LocalServer) -> None:
    with pytest.raises(UnknownKind):
        await here.do("next_versions", {})
