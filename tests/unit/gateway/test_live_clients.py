"""What requests to all servers learn of the clients here, and do with them."""

from __future__ import annotations

import asyncio

import pytest

from kit.waiting import eventually
from tradecast.connections.connection import Connection
from tradecast.connections.registry import ConnectionRegistry
from tradecast.gateway.live_clients import LiveClients
from tradecast.sessions.models import Session, User
from unit.connections.connecting import Recorder
from unit.gateway.cases import Case, Client

USER = User("7", "Name", "name@example.com", is_admin=False, tier="free")


class Here:
    """Clients that are connected, and registered as a user's."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.registry = ConnectionRegistry()
        self.live = LiveClients(self.registry, case.manager, case.server.eio, case.transports)

    async def connect(self, connection_id: str, user: User | None = USER) -> Client:
        client = self._case.client()
        sid = await client.join()
        connection = Connection(
            sid, connection_id, Recorder(), claims=None, connected_at=5.0, transport_sid=client.connection.sid
        )
        if user is not None:
            connection.attach(Session(f"session of {connection_id}", user, 1.0))
        self.registry.add(connection)
        return client

    def sid_of(self, connection_id: str) -> str:
        return next(one.sid for one in self.registry.of_user(USER.id) if one.id == connection_id)


@pytest.fixture
def here(case: Case) -> Here:
    return Here(case)


async def test_a_client_is_described(here: Here) -> None:
    client = await here.connect("c1")
    described = here.live.describe(here.sid_of("c1"))
    assert described is not None
    assert (described.connection_id, described.user_id, described.connected_at) == ("c1", "7", 5.0)
    assert (described.transport, described.data) == ("websocket", {})
    assert here.live.describe(client.connection.sid) is None, "a transport's sid is none of a client"


async def test_connections_are_counted_and_those_of_a_user(here: Here) -> None:
    await here.connect("c1")
    await here.connect("c2")
    await here.connect("anonymous", None)
    assert here.live.count() == 3
    assert (here.live.count_user("7"), here.live.count_user("8")) == (2, 0)


async def test_who_answers_a_probe_and_who_does_not(here: Here) -> None:
    answering, _ = await here.connect("c1"), await here.connect("c2")
    probing = asyncio.create_task(here.live.probe("7", 0.2))
    await eventually(lambda: "2" in answering.transport.sent)
    answering.connection.receive("3")
    found = {one: answers for one, _, answers in await probing}
    assert found == {"c1": True, "c2": False}


async def test_a_connection_is_replaced_by_its_id(here: Here) -> None:
    stays, goes = await here.connect("c1"), await here.connect("c2")
    assert not here.live.replace("7", "c3")
    assert not here.live.replace("8", "c2")
    assert here.live.replace("7", "c2")
    assert (stays.connection.closed, goes.connection.closed) == (False, True)
