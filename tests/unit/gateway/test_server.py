"""The Socket.IO server over the real engine, with transports and an application that are the test's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import structlog

from kit.delivery.hub_clients import NO_LIMIT, Kinds, NullObserver
from kit.waiting import eventually
from tradecast.delivery.errors import ConnectRefused, TryAgain
from tradecast.delivery.hub import Hub, HubOptions
from tradecast.delivery.memory import MemoryBroker
from tradecast.delivery.retention import Retention
from tradecast.engine.connection import CLIENT_DISCONNECT, Connection
from tradecast.engine.http.addresses import Network
from tradecast.engine.http.request import Request
from tradecast.gateway import server as module
from tradecast.gateway.application import Accepted, Options, Resume
from tradecast.gateway.bounds import unconnected
from tradecast.gateway.bounds.packet_allowances import BURST, PacketAllowances
from tradecast.gateway.server import SocketServer
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.rooms import LocalManager
from unit.engine.hosts import FakeTransport
from unit.engine.http.test_request import request


class App:
    """An application that lets everybody in, unless the test says otherwise.

    Attributes:
        told: What it was told, in order.
        refusal: What `connecting` raises.
        hold: `connecting` waits until it is set.
        answer: What an event is answered: a value, or a function of the arguments.
        authenticated: Whether it is known who the clients are.
        kept: What was kept of the handshakes, for each CONNECT.
    """

    def __init__(self) -> None:
        self.connects_at_once = False
        self.kept: list[str | None] = []
        self.authenticated = True
        self.told: list[tuple[Any, ...]] = []
        self.refusal: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.answer: Callable[[list[Any]], Any] = lambda arguments: None
        self.welcome: Callable[[str], Awaitable[None] | None] = lambda sid: None

    def has_namespace(self, namespace: str) -> bool:
        return namespace in ("/", "/custom")

    def read_handshake(self, request: Request) -> str | None:
        return request.header(b"cookie")

    async def connecting(
        self, sid: str, auth: Any, kept: str | None, transport: str, resume: Resume, namespace: str
    ) -> Accepted:
        self.kept.append(kept)
        self.told.append(("connecting", namespace, auth, transport))
        if self.hold is not None:
            await self.hold.wait()
        if self.refusal is not None:
            raise self.refusal
        rooms = ["room" if namespace == "/" else f"{namespace},room"]
        return Accepted("user", "connection", rooms, authenticated=self.authenticated)

    def abandoned(self, accepted: Accepted, *, displaced: bool) -> None:
        self.told.append(("abandoned", displaced))

    def connected(self, sid: str, accepted: Accepted, *, recovered: bool) -> Awaitable[None] | None:
        self.told.append(("connected", sid))
        return self.welcome(sid)

    def event(self, sid: str, name: str, arguments: list[Any]) -> Any:
        self.told.append(("event", name, *arguments))
        return self.answer(arguments)

    def disconnected(self, sid: str, reason: str) -> None:
        self.told.append(("disconnected", sid, reason))

    def origin_refused(self, reason: str, origin: str) -> None:
        self.told.append(("origin_refused", reason, origin))

    def transport_refused(self, reason: str) -> None:
        self.told.append(("transport_refused", reason))

    def malformed(self) -> None:
        self.told.append(("malformed",))

    def limit_exceeded(self, limit: str) -> None:
        self.told.append(("limit", limit))

    def client_too_slow(self) -> None:
        self.told.append(("too slow",))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        """What it was told of one kind."""
        return [one[1:] for one in self.told if one[0] == kind]


class Client:
    """A client on a transport of the test's own."""

    def __init__(self, server: SocketServer[Any], peer: str | None = None, cookie: str | None = None) -> None:
        self.transport = FakeTransport()
        asking = request(headers=[] if cookie is None else [(b"cookie", cookie.encode())])
        asking.peer = peer
        self.connection: Connection = server.eio.open(asking, self.transport)
        self.transport.sent.clear()

    def send(self, *packets: str | bytes) -> None:
        """Packets of Socket.IO."""
        for packet in packets:
            self.connection.receive("4" + packet if isinstance(packet, str) else packet)

    @property
    def got(self) -> list[str | bytes]:
        """What came, as packets of Socket.IO."""
        return [packet[1:] if isinstance(packet, str) else packet for packet in self.transport.sent]

    async def next(self, count: int = 1) -> list[Any]:
        """So many packets, which are taken."""
        await eventually(lambda: len(self.transport.sent) >= count)
        found = self.got[:count]
        del self.transport.sent[:count]
        return found

    async def join(self, namespace: str = "/", auth: str = "") -> str:
        """Join a namespace; the sid there."""
        head = "0" if namespace == "/" else f"0{namespace},"
        self.send(head + auth)
        (packet,) = await self.next()
        assert packet.startswith(head + "{"), packet
        sid: str = json.loads(packet[len(head) :])["sid"]
        return sid


class Case:
    """A server with its application."""

    def __init__(self, most_per_address: int = 0) -> None:
        self.app = App()
        self.manager = LocalManager()
        options = Options(
            ["polling", "websocket"],
            connect_timeout=60,
            max_http_buffer_size=1000,
            most_per_address=most_per_address,
        )
        self.server = SocketServer(self.app, self.manager, options, Parts(self.app, self.manager))
        self.hub = self.server.hub
        self.transports = self.server.transport_table

    def client(self, peer: str | None = None, cookie: str | None = None) -> Client:
        """A client that comes from this address, with this cookie."""
        return Client(self.server, peer, cookie)


class Parts:
    """Builds what a server serves (`Builder`)."""

    def __init__(self, app: App, manager: LocalManager) -> None:
        self._app = app
        self._manager = manager

    def build_application(self, server: SocketServer[App], hub: Hub) -> App:
        return self._app

    def build_hub(self, server: SocketServer[App]) -> Hub:
        return Hub(
            MemoryBroker(Retention(60, 60, 60, 100)),
            self._manager,
            server.eio,
            server,
            NullObserver(),
            HubOptions(recovery=False, window=60, refresh=3600, buffer_limit=100),
            kinds=Kinds(),
            limiter=NO_LIMIT,
            lines=ThrottledLog(),
        )


@pytest.fixture
async def case(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Case]:
    monkeypatch.setattr(module, "FIRST_MESSAGES", 500)
    case = Case()
    await case.hub.start()
    yield case
    await case.hub.close()
    await case.server.shutdown()


# -- connecting


@pytest.mark.parametrize("at_once", [False, True])
async def test_client_that_is_let_in_is_told_its_sid(case: Case, at_once: bool) -> None:
    case.app.connects_at_once = at_once
    client = case.client()
    client.send('0{"token":1}')
    assert bool(client.got) is at_once
    (packet,) = await client.next()
    sid = json.loads(packet[1:])["sid"]
    assert sid != client.connection.sid, "the one is a credential, the other is not"
    assert case.app.told == [("connecting", "/", {"token": 1}, "websocket"), ("connected", sid)]


async def test_nothing_is_told_between_the_answer_and_the_application(case: Case) -> None:
    seen: list[list[Any]] = []
    client = case.client()
    case.app.welcome = lambda sid: seen.append(list(client.got))
    await client.join()
    assert len(seen[0]) == 1


async def test_events_wait_for_the_connection_and_for_the_welcome(case: Case) -> None:
    case.app.hold, go_on = asyncio.Event(), asyncio.Event()
    welcomed: list[str] = []

    async def welcome(sid: str) -> None:
        await go_on.wait()
        welcomed.append(sid)

    case.app.welcome = welcome
    client = case.client()
    client.send("0", '2["e",1]', '21["e",2]')
    await eventually(lambda: case.app.of("connecting"))
    case.app.hold.set()
    await client.next()
    assert case.app.of("event") == []
    go_on.set()
    await client.next()
    assert case.app.told[-2:] == [("event", "e", 1), ("event", "e", 2)]
    assert len(welcomed) == 1


@pytest.mark.parametrize("at_once", [False, True])
async def test_refusal_is_told_and_leaves_the_transport_open(case: Case, at_once: bool) -> None:
    """Clients of 3.x and 4.0 to 4.3 take a transport that closes for a lost connection, and would be back at once."""
    case.app.connects_at_once = at_once
    case.app.refusal = ConnectRefused("AUTH_REQUIRED", "Log in")
    client = case.client()
    client.send("0")
    (packet,) = await client.next()
    assert json.loads(packet[1:]) == {"message": "Log in", "data": {"code": "AUTH_REQUIRED", "message": "Log in"}}
    assert packet[0] == "4"
    assert client.transport.closed is None
    case.app.refusal = None
    await client.join()
    assert len(case.app.of("connecting")) == 2, "it is looked at anew"
    assert len(case.transports.unconnected) == 0


async def test_client_that_is_refused_again_and_again_is_closed(case: Case) -> None:
    case.app.refusal = ConnectRefused("AUTH_REQUIRED", "Log in")
    client = case.client()
    for _ in range(5):
        client.send("0")
        await client.next()
        assert client.transport.closed is None
    client.send("0")
    await eventually(lambda: client.transport.closed == 1008)
    assert case.app.of("limit") == [("connects",)]


async def test_refused_client_is_closed_with_the_time_of_all_who_do_not_connect() -> None:
    app, manager = App(), LocalManager()
    app.refusal = ConnectRefused("AUTH_REQUIRED", "Log in")
    server = SocketServer(app, manager, Options(["websocket"], connect_timeout=0.2), Parts(app, manager))
    client = Client(server)
    client.send("0")
    await client.next()
    await eventually(lambda: client.transport.gone)
    await server.shutdown()


async def test_room_is_made_of_those_who_belong_to_nobody(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unconnected, "GRACE", 0.0)
    member, silent = case.client(), case.client()
    await member.join()
    assert case.transports.make_room()
    assert silent.transport.closed == 0
    assert not case.transports.make_room()
    assert member.transport.closed is None
    assert case.app.of("limit") == [("without_connect",)]


async def test_refusal_that_will_pass_closes_without_a_word(case: Case) -> None:
    case.app.refusal = TryAgain()
    client = case.client()
    client.send("0")
    await eventually(lambda: client.transport.gone)
    assert client.got == []


async def test_unknown_namespace_is_refused(case: Case) -> None:
    client = case.client()
    await client.join()
    client.send("0/other,", "0/custom?token=1,")
    assert (await client.next())[0] == '4/other,{"message":"Invalid namespace"}'
    assert not client.connection.closed


@pytest.mark.parametrize("namespace", ["", "/custom,"])
async def test_second_connect_closes_the_transport_as_in_node(case: Case, namespace: str) -> None:
    """A client that asks again has lost its place: told so, a stock client stays away while the server counts it."""
    client = case.client()
    await client.join(namespace.rstrip(",") or "/")
    client.send(f"0{namespace}")
    assert client.transport.gone
    assert client.got == []


async def test_long_namespace_is_not_echoed(case: Case) -> None:
    client = case.client()
    client.send("0/" + "a" * 500)
    assert (client.got, client.transport.closed) == ([], 1000)


async def test_transport_that_ends_while_it_is_decided_about_leaves_nothing(case: Case) -> None:
    case.app.hold = asyncio.Event()
    client = case.client()
    client.send("0")
    await eventually(lambda: case.app.of("connecting"))
    client.connection.lost("transport close")
    case.app.hold.set()
    await eventually(lambda: not case.server.eio._working)
    assert case.app.of("connected") == []
    assert list(case.manager.get_namespaces()) == []
    assert len(case.transports.unconnected) == 0
    assert dict(case.manager.room_sizes()) == {}


async def test_transport_without_a_namespace_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    app, manager = App(), LocalManager()
    server = SocketServer(app, manager, Options(["websocket"], connect_timeout=0.05), Parts(app, manager))
    client = Client(server)
    await eventually(lambda: client.transport.gone)
    await server.shutdown()


# -- events


async def test_event_and_its_acknowledgement(case: Case) -> None:
    case.app.answer = lambda arguments: tuple(arguments) or None
    client = case.client()
    await client.join()
    client.send('2["none"]', '21["one",1]', '22["two",1,[2]]', '23["none"]')
    assert client.got == ["31[1]", "32[1,[2]]", "33[]"]
    assert case.app.of("event") == [("none",), ("one", 1), ("two", 1, [2]), ("none",)]


async def test_event_that_waits_is_acknowledged_later_and_keeps_its_turn(case: Case) -> None:
    go_on = asyncio.Event()

    async def later() -> str:
        await go_on.wait()
        return "later"

    case.app.answer = lambda arguments: later() if arguments == ["wait"] else "now"
    client = case.client()
    await client.join()
    client.send('21["e","wait"]', '22["e",1]')
    await asyncio.sleep(0.01)
    assert client.got == []
    go_on.set()
    assert await client.next(2) == ['31["later"]', '32["now"]']


async def test_binary_event_and_acknowledgement(case: Case) -> None:
    case.app.answer = lambda arguments: arguments[0]
    client = case.client()
    await client.join()
    client.send('52-1["e",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]', b"\x00", b"\x01")
    assert case.app.of("event") == [("e", b"\x01", b"\x00")]
    assert client.got == ['61-1[{"_placeholder":true,"num":0}]', b"\x01"]


@pytest.mark.parametrize("answer", [[], ["x"], None, {"a": None}, 0, ""])
async def test_answers(case: Case, answer: Any) -> None:
    case.app.answer = lambda arguments: answer
    client = case.client()
    await client.join()
    client.send('21["e"]')
    assert json.loads(str(client.got[0])[2:]) == ([] if answer is None else [answer])


@pytest.mark.parametrize(
    "packets",
    [
        ("x",),
        ("2{}",),
        ("2[]",),
        ("2[1]",),
        ('2/custom,["e"]',),
        ('2/other,["e"]',),
        (b"\x00",),
        ('51-["e",{"_placeholder":true,"num":0}]', '2["e"]'),
        ('51-["e",{"_placeholder":true,"num":1}]', b"\x00"),
        ('51-/custom,["e",{"_placeholder":true,"num":0}]',),
        ('51-["e",{"_placeholder":true,"num":0}]', b"x" * 1001),
        ('52-["e",{"_placeholder":true,"num":0}]', b"x" * 600, b"x" * 600),
        ("4{}",),
    ],
)
async def test_malformed_packet_is_answered_and_closes_the_transport(case: Case, packets: tuple[Any, ...]) -> None:
    client = case.client()
    await client.join()
    client.send(*packets)
    ((name, answer),) = (json.loads(str(one)[1:]) for one in client.got)
    assert (name, answer["reason"]) == ("error", "INVALID_PAYLOAD")
    assert client.transport.closed == 1000
    assert case.app.of("malformed") == [()]
    assert case.app.of("event") == []
    await eventually(lambda: case.app.of("disconnected"))
    assert case.transports.incomplete == {}


async def test_what_is_nested_too_deeply_is_answered_and_closes_nothing(case: Case) -> None:
    client = case.client()
    await client.join()
    client.send('2["e",' + "[" * 100_000 + "]" * 100_000 + "]")
    (packet,) = client.got
    assert "INVALID_PAYLOAD" in str(packet)
    client.send('21["e"]')
    assert client.got[-1] == "31[]"


async def test_event_before_the_connection_closes_without_an_answer(case: Case) -> None:
    client = case.client()
    client.send('2["e"]')
    assert (client.got, client.transport.closed) == ([], 1000)


@pytest.mark.parametrize(
    ("escape", "text"),
    [("\\ud800", "\ufffd"), ("\\udfff", "\ufffd"), ("\\ud83d\\ude80\\ud83d", "\U0001f680\ufffd")],
)
async def test_half_an_emoji_closes_nothing(case: Case, escape: str, text: str) -> None:
    client = case.client()
    await client.join(auth=f'{{"a":"{escape}"}}')
    client.send(f'21["{escape}",{{"{escape}":1}}]')
    assert client.got == ["31[]"]
    assert case.app.of("connecting")[0][1] == {"a": text}
    assert case.app.of("event") == [(text, {text: 1})]
    assert case.app.of("malformed") == []


# -- floods


@pytest.mark.parametrize(
    "packet",
    ['2["e"]', '21["e"]', "31[]", "399[]", "1/custom,", "0/other,", '2["e",' + "[" * 2_000 + "]" * 2_001],
)
async def test_transport_that_sends_far_too_many_packets_is_closed(case: Case, packet: str) -> None:
    client, other = case.client(), case.client()
    await client.join()
    await other.join()
    closed = []
    for _ in range(2):
        client.send(*[packet] * BURST)
        closed.append(client.transport.closed)
    assert closed == [None, 1008]
    assert case.app.of("limit") == [("packets",)]
    assert len(case.app.of("event")) <= BURST + 100
    other.send('21["e"]')
    assert other.got == ["31[]"]
    await eventually(lambda: len(case.app.of("disconnected")) == 1)
    assert len(case.transports.allowances) == 1


async def test_attachments_are_no_packets_of_their_own(case: Case) -> None:
    client = case.client()
    await client.join()
    for _ in range(BURST):
        client.send('52-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', b"a", b"b")
    assert (client.transport.closed, len(case.app.of("event"))) == (None, BURST)


async def test_answers_that_the_server_asks_for_are_not_counted(case: Case) -> None:
    case.transports.allowances = PacketAllowances(3, 0)
    client = case.client()
    sid = await client.join()
    client.send('2["e"]')
    for _ in range(10):
        asking = asyncio.create_task(case.server.ask([sid], "question", [], 20))
        (packet,) = await client.next()
        client.send(f"3{packet[1 : packet.index('[')]}[]")
        await asking
    assert client.transport.closed is None


async def test_client_that_sends_nothing_costs_nothing(case: Case) -> None:
    client = case.client()
    await client.join()
    client.connection.receive("3")
    assert len(case.transports.allowances) == 0
    client.send('2["e"]')
    assert len(case.transports.allowances) == 1
    client.connection.lost("transport close")
    await eventually(lambda: len(case.transports.allowances) == 0)


async def test_malformed_packets_write_a_few_lines(case: Case) -> None:
    with structlog.testing.capture_logs() as lines:
        for _ in range(100):
            case.client().send("x")
    assert [line["event"] for line in lines] == ["malformed packet"] * 20
    assert len(case.app.of("malformed")) == 100


# -- the end


async def test_client_that_says_goodbye_may_come_again_on_the_same_transport(case: Case) -> None:
    client = case.client()
    sid = await client.join()
    client.send("1", "1")
    assert case.app.of("disconnected") == [(sid, CLIENT_DISCONNECT)]
    assert len(case.transports.unconnected) == 1
    assert await client.join() != sid
    assert len(case.transports.unconnected) == 0


async def test_client_that_is_ended_is_told_and_hung_up_a_moment_later(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER", 0.05)
    client = case.client()
    sid = await client.join()
    await case.server.end(sid)
    assert client.got == ["1"]
    assert client.transport.closed is None
    await eventually(lambda: client.transport.closed == 1000)
    assert [one[0] for one in case.app.of("disconnected")] == [sid], "once"


async def test_client_that_is_ended_in_one_namespace_stays_in_the_other(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER", 0.05)
    client = case.client()
    main, custom = await client.join(), await client.join("/custom")
    await case.server.end(custom, "/custom")
    assert await client.next() == ["1/custom,"]
    await asyncio.sleep(0.2)  # past LINGER, which has no event
    assert client.transport.closed is None
    assert [one[0] for one in case.app.of("disconnected")] == [custom]
    case.server.send(main, "e", 1)
    case.server.send(custom, "e", 1, "/custom")
    assert client.got == ['2["e",1]']


async def test_lost_transport_leaves_all_namespaces_and_nothing_behind(case: Case) -> None:
    client = case.client()
    sids = {await client.join(), await client.join("/custom")}
    client.connection.lost("transport close")
    await eventually(lambda: len(case.app.of("disconnected")) == 2)
    assert {one[0] for one in case.app.of("disconnected")} == sids
    assert list(case.manager.get_namespaces()) == []
    assert dict(case.manager.room_sizes()) == {}
    assert case.server._ended == set()


async def test_hang_up_closes_the_transport_of_all_namespaces(case: Case) -> None:
    client = case.client()
    await client.join()
    custom = await client.join("/custom")
    case.server.close_transport(custom, "/custom")
    assert (client.got, client.transport.gone) == ([], True), "no DISCONNECT, which is final"


# -- to clients


async def test_rooms_of_namespaces_are_apart(case: Case) -> None:
    both, main = case.client(), case.client()
    await both.join()
    await both.join("/custom")
    await main.join()
    await case.hub.emit("e", [1], ["room"])
    await case.hub.emit("e", [2], ["/custom,room"], namespace="/custom")
    assert both.got == ['2["e",1]', '2/custom,["e",2]']
    assert main.got == ['2["e",1]']


@pytest.mark.parametrize(
    ("data", "packet"),
    [(None, '2["e"]'), ((), '2["e"]'), (1, '2["e",1]'), ((1, [2]), '2["e",1,[2]]'), ([1], '2["e",[1]]')],
)
async def test_event_to_one_client(case: Case, data: Any, packet: str) -> None:
    client = case.client()
    case.server.send(await client.join(), "e", data)
    case.server.send("nobody", "e", data)
    assert client.got == [packet]


async def test_clients_are_asked_and_answer(case: Case) -> None:
    clients = [case.client() for _ in range(3)]
    sids = [await client.join() for client in clients]
    asking = asyncio.create_task(case.server.ask(sids, "question", [1], 20))
    (packet,) = await clients[0].next()
    ack_id = packet[1 : packet.index("[")]
    assert packet == f'2{ack_id}["question",1]'
    clients[0].send(f'3{ack_id}["a",2]', f'3{ack_id}["again"]')
    clients[1].connection.lost("transport close")
    clients[2].send(f"3{ack_id}[]")
    asked = await asyncio.wait_for(asking, 20)
    assert set(asked.answers) == {sids[0], sids[2]}
    assert asked.silent == [sids[1]]
    assert len(case.server._acks) == 0


@pytest.mark.parametrize("packet", ["31[]", "3[]", "3999999999[]", "3/custom,1[]"])
async def test_acknowledgement_of_nothing_is_of_no_effect(case: Case, packet: str) -> None:
    client = case.client()
    await client.join()
    client.send(packet)
    assert (client.got, client.transport.closed) == ([], None)


async def test_how_many_use_which_transport(case: Case) -> None:
    for _ in range(2):
        await case.client().join()
    await case.client().join("/custom")
    assert dict(case.server.transports()) == {"websocket": 2}


# -- addresses


async def test_an_address_has_so_many_clients_that_are_not_authenticated() -> None:
    case = Case(most_per_address=3)
    await case.hub.start()
    here, there = Network(4, 0x08080808), Network(4, 0x09090909)
    first, _, third = (case.client("8.8.8.8") for _ in range(3))
    case.client("9.9.9.9")
    case.client("10.0.0.1")
    assert not case.transports.has_room_for(here)
    assert case.transports.has_room_for(there)
    await first.join()
    assert case.transports.has_room_for(here), "who is authenticated is not counted"
    case.client("8.8.8.8")
    assert not case.transports.has_room_for(here)
    third.connection.abort("transport close")
    await eventually(lambda: case.transports.has_room_for(here))
    case.app.authenticated = False
    anonymous = case.client("8.8.8.8")
    await anonymous.join()
    assert not case.transports.has_room_for(here), "who is anonymous is counted"
    await case.hub.close()
    await case.server.shutdown()


async def test_a_full_address_makes_room_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(most_per_address=2)
    there, here = case.client("9.9.9.9"), Network(4, 0x08080808)
    oldest, joined = case.client("8.8.8.8"), case.client("8.8.8.8")
    case.app.authenticated = False
    await case.hub.start()
    await joined.join()
    assert not case.transports.has_room_for(here)
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now + 6)
    assert case.transports.has_room_for(here)
    assert oldest.connection.closed
    assert case.app.of("limit") == [("address",)]
    assert not joined.connection.closed
    assert not there.connection.closed
    case.client("8.8.8.8")
    assert not case.transports.has_room_for(here), "nobody of that address can be spared"
    await case.hub.close()
    await case.server.shutdown()


# -- what is kept of a handshake


async def test_what_is_kept_of_a_handshake_is_let_go_when_its_client_is_in(case: Case) -> None:
    client = case.client(cookie="sid=secret")
    case.app.refusal = ConnectRefused("AUTH_REQUIRED", "Log in")
    client.send("0")
    await client.next()
    case.app.refusal = None
    await client.join()
    await client.join("/custom")
    assert case.app.kept == ["sid=secret", "sid=secret", None]
    assert not case.transports.notes


async def test_it_is_let_go_with_its_transport(case: Case) -> None:
    client = case.client(cookie="sid=secret")
    assert list(case.transports.notes.values()) == ["sid=secret"]
    client.connection.abort("transport close")
    await eventually(lambda: not case.transports.notes)


# -- trust


@pytest.mark.parametrize("authenticated", [True, False])
async def test_who_is_in_may_send_large_messages(case: Case, authenticated: bool) -> None:
    case.app.authenticated = authenticated
    client = case.client()
    assert client.connection.message_limit == 500
    await client.join()
    assert client.connection.message_limit == 1000
