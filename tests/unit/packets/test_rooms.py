"""Rooms: who is in which."""

from __future__ import annotations

from typing import Any

import pytest

from tradecast.engine.ids import make_id
from tradecast.packets.room_names import is_sid_room, qualify, room_name, room_names, sid_of
from tradecast.packets.rooms import LocalManager
from tradecast.packets.socketio_packet import Packet


class Engine:
    def __init__(self) -> None:
        self._next = 0

    def generate_id(self) -> str:
        self._next += 1
        return f"sid{self._next}"


class FakeSocketServer:
    def __init__(self) -> None:
        self.eio = Engine()
        self.packet_class = Packet


class ConnectedClients:
    """A manager with clients a, b, c, … whose engine ids are eio-a, eio-b and so on."""

    def __init__(self) -> None:
        self.manager = LocalManager()
        self.manager.set_server(FakeSocketServer())
        self.sids: dict[str, str] = {}

    async def add(self, *names: str) -> None:
        for name in names:
            self.sids[name] = await self.manager.connect(f"eio-{name}", "/")

    async def join(self, name: str, room: str) -> None:
        await self.manager.enter_room(self.sids[name], "/", room)

    def find(self, *rooms: str, namespace: str = "/") -> list[str]:
        """The engine ids of those who are in any of the rooms; without one: of all."""
        return sorted(eio_sid for _, eio_sid in self.manager.get_participants(namespace, rooms or None))


@pytest.fixture
async def crowd() -> ConnectedClients:
    crowd = ConnectedClients()
    await crowd.add("a", "b", "c")
    await crowd.join("a", "x")
    await crowd.join("b", "x")
    await crowd.join("b", "y")
    return crowd


async def test_members_of_a_room(crowd: ConnectedClients) -> None:
    assert crowd.find("x") == ["eio-a", "eio-b"]


async def test_no_room_is_everybody(crowd: ConnectedClients) -> None:
    assert crowd.find() == ["eio-a", "eio-b", "eio-c"]


async def test_a_sid_is_a_room_of_one(crowd: ConnectedClients) -> None:
    assert crowd.find(crowd.sids["c"]) == ["eio-c"]


async def test_a_member_of_two_rooms_is_found_once(crowd: ConnectedClients) -> None:
    assert crowd.find("x", "y") == ["eio-a", "eio-b"]


async def test_an_empty_room_and_an_unknown_namespace_have_nobody(crowd: ConnectedClients) -> None:
    assert crowd.find("nobody") == []
    assert crowd.find("x", namespace="/other") == []


async def test_leaving_ends_it(crowd: ConnectedClients) -> None:
    await crowd.manager.leave_room(crowd.sids["a"], "/", "x")
    assert crowd.find("x") == ["eio-b"]
    assert crowd.manager.get_rooms(crowd.sids["a"], "/") == [crowd.sids["a"]]


async def test_disconnect_leaves_every_room_and_nothing_behind(crowd: ConnectedClients) -> None:
    for name in "abc":
        crowd.manager.basic_disconnect(crowd.sids[name], "/")
    assert list(crowd.manager.get_namespaces()) == []
    assert list(crowd.manager.get_participants("/", None)) == []
    assert [crowd.manager.namespaces_of(f"eio-{name}") for name in "abc"] == [[], [], []]
    assert dict(crowd.manager.room_sizes()) == {}
    assert not crowd.manager.is_connected(crowd.sids["a"], "/")


async def test_the_others_stay_when_one_disconnects(crowd: ConnectedClients) -> None:
    await crowd.manager.disconnect(crowd.sids["b"], "/")
    assert dict(crowd.manager.room_sizes()) == {"x": 1}
    assert crowd.find() == ["eio-a", "eio-c"]


async def test_rooms_of_a_client(crowd: ConnectedClients) -> None:
    sid = crowd.sids["b"]
    assert sorted(crowd.manager.get_rooms(sid, "/")) == sorted([sid, "x", "y"])


async def test_somebody_elses_own_room_cannot_be_entered(crowd: ConnectedClients) -> None:
    with pytest.raises(ValueError, match="sid room"):
        await crowd.join("a", crowd.sids["b"])


async def test_a_client_that_is_not_connected_enters_nothing(crowd: ConnectedClients) -> None:
    with pytest.raises(ValueError, match="not connected"):
        await crowd.manager.enter_room("stranger", "/", "x")


async def test_a_room_can_be_closed(crowd: ConnectedClients) -> None:
    await crowd.manager.close_room("x", "/")
    assert dict(crowd.manager.room_sizes()) == {"y": 1}


async def test_the_second_connect_of_a_transport_is_noticed(crowd: ConnectedClients) -> None:
    assert await crowd.manager.pre_connect("eio-a", "/") is None


# -- names


class _Whole:
    def __index__(self) -> int:
        return 8


@pytest.mark.parametrize(
    ("room", "name"), [("x", "x"), ("", ""), (7, "7"), (-1, "-1"), (0, "0"), (2**70, str(2**70)), (_Whole(), "8")]
)
def test_a_whole_number_is_its_text(room: Any, name: str) -> None:
    assert room_name(room) == name
    assert room_names(room) == (name,)
    assert room_names([room, name, "other"]) == (name, "other")


@pytest.mark.parametrize("room", [True, False, 1.0, None, b"x", object(), [1], ["x"], {"x": 1}, ("x",)])
def test_nothing_else_is_a_room(room: Any) -> None:
    with pytest.raises(TypeError, match="a room is a text or a whole number"):
        room_name(room)
    with pytest.raises(TypeError, match="a room is a text or a whole number"):
        room_names(["x", room])


@pytest.mark.parametrize("rooms", [b"ab", bytearray(b"ab"), {"x": 1}, memoryview(b"ab"), 1.5])
def test_what_can_be_gone_through_and_is_no_rooms(rooms: Any) -> None:
    with pytest.raises(TypeError, match="a room is a text or a whole number"):
        room_names(rooms)


def test_a_room_that_cannot_be_sent() -> None:
    assert room_name("\U0001f600") == "\U0001f600"
    with pytest.raises(ValueError, match="surrogate"):
        room_name("a\ud83d")


def test_sets_and_generators_of_rooms() -> None:
    assert sorted(room_names({"x", 7})) == ["7", "x"]
    assert room_names(n for n in (1, 2, 1)) == ("1", "2")
    assert room_names(()) == ()


@pytest.mark.parametrize("namespace", ["/", "/desk", "/a/b"])
def test_sids_have_a_form(namespace: str) -> None:
    for _ in range(100):
        sid = make_id()
        assert is_sid_room(qualify(namespace, sid))
        assert sid_of(qualify(namespace, sid)) == sid


@pytest.mark.parametrize(
    "room",
    ["", "user:abcdefghijklmno", "a" * 19, "a" * 21, "a" * 19 + "\n", "a" * 20 + "\n", "é" * 20, "x," + "a" * 20],
)
def test_most_rooms_have_another(room: str) -> None:
    assert not is_sid_room(room)
