"""What this server does with its own clients when a server asks all to."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tradecast.cluster_rpc.operations import KINDS, MAX_DATA
from tradecast.cluster_rpc.responder import Outcome, UnknownKind
from tradecast.delivery.envelope import Malformed
from unit.cluster_rpc.local_server import LocalServer


async def test_fetch_returns_what_is_known(here: LocalServer) -> None:
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
async def test_what_the_application_noted_is_returned_if_it_can_be(
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
