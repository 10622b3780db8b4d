"""Rooms: who is in which."""

from __future__ import annotations

import pytest

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
