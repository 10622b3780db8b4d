"""What happens to a client between its CONNECT and the answer: it comes back, is refused, or something fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from typing import Any

import pytest

from kit.servers.in_process import MakeServer, RunningServer
from kit.waiting import eventually
from tradecast.connections.connection import Connection
from tradecast.delivery.errors import EventRefused, TryAgain
from tradecast.engine.connection import TRANSPORT_CLOSE
from tradecast.engine.http.request import Request
from tradecast.engine.message import Message
from tradecast.engine.transports.base import TransportName
from tradecast.gateway.transport_table import MAX_DEPARTURES, REFUSAL
from tradecast.server import WebSocketServer
from tradecast.sessions.errors import StoreUnavailable

Auth = dict[str, Any]
HANDSHAKE = Request(
    method="GET", path="/socket.io/", raw_path=b"/socket.io/", query_string=b"", headers=[], scheme="ws", websocket=True
)


class Client:
    """A client whose transport keeps what it is sent, and that answers heartbeats."""

    name: TransportName = "websocket"
    is_backed_up = False

    def __init__(self, server: RunningServer) -> None:
        self.sent: list[str] = []
        self.connection = server.app.components.socket_server.eio.open(HANDSHAKE, self)

    def send(self, message: Message) -> None:
        self.sent += [str(packet) for packet in message.packets]
        if "2" in message.packets:
            asyncio.get_running_loop().call_soon(self.connection.receive, "3")

    def send_in_window(self, message: Message) -> None:
        self.send(message)

    def discard(self, left: Collection[str], still_in: Collection[str]) -> None: ...

    def take_unsent(self) -> list[Message]:
        return []

    def close(self, code: int | None) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def say(self, *packets: str) -> None:
        for packet in packets:
            self.connection.receive(packet)

    def connect(self, auth: Auth, namespace: str = "") -> None:
        self.say(f"40{namespace}{json.dumps(auth)}")

    async def connected(self) -> Auth:
        """What the answer to its CONNECT says."""
        await eventually(lambda: any(packet.startswith("40") for packet in self.sent))
        found: Auth = json.loads(next(packet for packet in self.sent if packet.startswith("40"))[2:])
        return found

    async def closed(self) -> None:
        """Until the server has closed its transport."""
        await eventually(lambda: self.connection.closed)

    def lose(self) -> None:
        self.connection.lost(TRANSPORT_CLOSE)


async def test_client_that_comes_back_while_it_is_let_in_gets_its_events(make_server: MakeServer) -> None:
    """Its first try finds that the sid has gone on to the second one, and leaves that alone."""
    gates: dict[str, asyncio.Event] = {"b": asyncio.Event(), "c": asyncio.Event()}

    async def slowly(connection: Connection) -> None:
        if gate := gates.get(connection.claims.get("gate")):
            await gate.wait()

    server = await make_server(lambda app: app.set_rate_limit_middleware(slowly))
    auth = await server.session("u1")
    first = Client(server)
    first.connect(auth)
    auth["pid"] = (await first.connected())["pid"]
    first.lose()
    b, c = Client(server), Client(server)
    b.connect({**auth, "gate": "b"})
    c.connect({**auth, "gate": "c"})
    await eventually(lambda: b.connection.closed)  # displaced by c
    gates["b"].set()
    gates["c"].set()
    await c.connected()
    await server.app.emit_to_user("u1", "hello", {"n": 1})
    assert [packet for packet in c.sent if "hello" in packet]
    assert server.app.get_total_connection_count() == 1
    assert server.app.get_user_connection_count("u1") == 1


@pytest.mark.parametrize("error", [asyncio.CancelledError, RuntimeError])
async def test_nothing_stays_of_a_client_whose_connecting_failed(
    make_server: MakeServer, error: type[BaseException]
) -> None:
    async def fail(connection: Connection) -> None:
        raise error

    server = await make_server(lambda app: app.set_auth_middleware(fail))
    client = Client(server)
    client.connect({})
    await eventually(lambda: client.connection.closed)
    manager = server.app.components.manager
    await eventually(lambda: not manager.namespaces_of(client.connection.sid) and not manager._coming)


async def test_outcomes_count_what_fails_by_the_servers_fault(make_server: MakeServer) -> None:
    """An operator compares revisions by these: a client without a session is not the revision's fault."""
    faults: dict[str, Exception] = {"bug": RuntimeError("a bug"), "away": StoreUnavailable(), "busy": TryAgain()}

    async def check(connection: Connection) -> None:
        if fault := faults.get(connection.claims.get("fault")):
            raise fault

    def handle(connection: Connection, fault: str) -> None:
        raise {"bug": RuntimeError("a bug"), "refused": EventRefused("QUOTA_EXCEEDED", "too many")}[fault]

    def prepare(app: WebSocketServer) -> None:
        app.set_rate_limit_middleware(check)
        app.register_event_handler("fail", handle)

    server = await make_server(prepare)
    auth = await server.session("u1")
    assert server.app.get_stats()["outcomes"] == {"connects": 0, "connectFailures": 0, "events": 0, "eventErrors": 0}
    client = Client(server)
    client.connect(auth)
    await client.connected()
    stranger = Client(server)
    stranger.connect({"sessionID": "guess", "userId": "u1"})
    await eventually(lambda: any(packet.startswith("44") for packet in stranger.sent))
    for fault in faults:
        unlucky = Client(server)
        unlucky.connect({**auth, "fault": fault})
        await unlucky.closed()
    client.say('421["fail","bug"]', '422["fail","refused"]', '423["no such event"]', '424["subscribe:trades"]')
    await eventually(lambda: sum(packet.startswith("43") for packet in client.sent) == 4)
    assert server.app.get_stats()["outcomes"] == {"connects": 5, "connectFailures": 3, "events": 4, "eventErrors": 1}


async def test_outcomes_count_a_client_that_was_accepted_and_could_not_be_connected(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*arguments: object) -> None:
        raise RuntimeError("a bug")

    server = await make_server()
    monkeypatch.setattr(server.app.components.hub, "admit", fail)
    client = Client(server)
    client.connect(await server.session("u1"))
    await eventually(lambda: client.connection.closed)
    assert server.app.get_stats()["outcomes"]["connects"] == 1
    assert server.app.get_stats()["outcomes"]["connectFailures"] == 1


async def test_quota_of_a_client_that_is_refused_after_it_went_on_is_given_back(make_server: MakeServer) -> None:
    server = await make_server(max_connections_per_user=1)
    auth = await server.session("u1")
    first = Client(server)
    first.connect(auth)
    pid = (await first.connected())["pid"]
    first.say('421["subscribe:portfolio"]', '422["subscribe:trades"]')
    await eventually(lambda: any(packet.startswith("432") for packet in first.sent))
    first.lose()
    await eventually(lambda: server.app.get_total_connection_count() == 0)
    other, again = Client(server), Client(server)
    other.connect(auth)
    await other.connected()
    again.connect({**auth, "pid": pid})
    await eventually(lambda: any("TOO_MANY_CONNECTIONS" in packet for packet in again.sent))
    # what it had taken is given back, and what was lost stays counted while it can be taken up
    assert await server.app.limiter.get_subscription_count("u1") == 2


async def test_a_transport_may_not_try_for_ever(make_server: MakeServer) -> None:
    """Not in a second namespace either, while it is in the first."""
    server = await make_server(lambda app: app.add_namespace("/chat"))
    auth = await server.session("u1")
    client = Client(server)
    client.connect(auth)
    await client.connected()
    for number in range(10 * MAX_DEPARTURES):
        client.connect({"sessionID": f"guess{number}", "userId": "u1"}, "/chat,")
    await eventually(lambda: client.connection.closed)
    assert sum(packet.startswith("44/chat") for packet in client.sent) == MAX_DEPARTURES // REFUSAL + 1


async def test_leaving_one_namespace_keeps_an_event_of_another_whose_attachments_are_to_come(
    make_server: MakeServer,
) -> None:
    got: list[Any] = []
    server = await make_server(
        lambda app: (app.add_namespace("/chat"), app.register_event_handler("take", lambda c, data: got.append(data)))
    )
    auth = await server.session("u1")
    client = Client(server)
    client.connect(auth)
    client.connect(auth, "/chat,")
    await eventually(lambda: sum(packet.startswith("40") for packet in client.sent) == 2)
    client.say('451-["take",{"_placeholder":true,"num":0}]')
    (connection,) = [one for one in server.app.registry if one.namespace == "/chat"]
    await server.app.components.socket_server.end(connection.sid, "/chat")
    client.connection.receive(b"\x01")
    assert got == [b"\x01"]
    assert not client.connection.closed
