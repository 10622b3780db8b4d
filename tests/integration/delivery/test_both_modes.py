"""Servers of modes `pubsub` and `sharded` side by side: one Redis and a Redis Cluster, with stock clients."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from kit.clients.interface import Refused
from kit.clients.node import StockClient, StockClients
from kit.network.forwarder import Forwarder
from kit.network.scatter import Scatter
from kit.servers.in_process import API_TOKEN, MakeServer, RunningServer, settings_for_tests
from kit.servers.redis_cluster import RedisCluster
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import Mode
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain
from tradecast.delivery.redis.broker import RedisBroker
from tradecast.publishing.publisher import Publisher
from tradecast.server import WebSocketServer

pytestmark = [pytest.mark.redis, pytest.mark.node]
AT_ONCE = 3
MODES: tuple[Mode, ...] = ("pubsub", "sharded")


class ServersOfBothModes:
    """Makes servers of either mode that know both Redis, and what belongs to them."""

    def __init__(
        self, make: MakeServer, redis: RedisServer, cluster: RedisCluster, clients: StockClients, folder: Path
    ) -> None:
        self.make = make
        self.clients = clients
        self.urls = {"redis_url": redis.url, "redis_cluster_url": cluster.url}
        self._folder = folder
        self.http = httpx.AsyncClient(trust_env=False, timeout=30)

    async def server(self, mode: Mode, **settings: Any) -> RunningServer:
        options = {"cluster_lease": 4, "rate_limit_global": 1_000_000, "max_connections_per_user": 100}
        server = await self.make(**self.urls, adapter_mode=mode, **{**options, **settings})
        broker = broker_of(server)
        await broker.wait_until_subscribed()
        return server

    async def client(self, server: RunningServer, user: str = "u1", **options: Any) -> StockClient:
        session = await server.session(user)
        return await self.clients.connect(server.url, session, transports=["websocket"], **options)

    def file(self, mode: Mode) -> Path:
        return self._folder / f"{mode}.yaml"

    def say(self, mode: Mode, **figures: float) -> None:
        self.file(mode).write_text(json.dumps(figures))

    async def stats(self, server: RunningServer) -> dict[str, Any]:
        return dict((await self.http.get(f"{server.admin_url}/admin/stats")).json()["adapter"])

    async def until_both(self, server: RunningServer, value: int) -> None:
        async def is_so() -> bool:
            return bool((await self.stats(server))["inForce"]["publish_both"] == value)

        await eventually(is_so)

    def publisher(self, **options: Any) -> Publisher:
        return Publisher(settings_for_tests(**self.urls), **options)


def broker_of(server: RunningServer) -> RedisBroker:
    broker = server.app.components.hub.broker
    assert isinstance(broker, RedisBroker)
    return broker


@pytest.fixture
async def fleet(
    redis_server: RedisServer,
    empty_cluster: RedisCluster,
    make_server: MakeServer,
    stock_clients: StockClients,
    tmp_path: Path,
) -> AsyncIterator[ServersOfBothModes]:
    made = ServersOfBothModes(make_server, redis_server, empty_cluster, stock_clients, tmp_path)
    yield made
    await made.http.aclose()


@pytest.fixture
async def frail(
    own_redis: RedisServer,
    redis_cluster: RedisCluster,
    make_server: MakeServer,
    stock_clients: StockClients,
    tmp_path: Path,
) -> AsyncIterator[ServersOfBothModes]:
    """One whose Redis may be killed."""
    made = ServersOfBothModes(make_server, own_redis, redis_cluster, stock_clients, tmp_path)
    yield made
    await made.http.aclose()


async def four(fleet: ServersOfBothModes, **settings: Any) -> list[RunningServer]:
    return [await fleet.server(mode, publish_both=1, **settings) for mode in MODES for _ in range(2)]


class Stream:
    """Events of several emitters at a time, each counting its own.

    Attributes:
        sent: How many of each have been emitted.
    """

    def __init__(self) -> None:
        self.sent: dict[str, int] = defaultdict(int)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended: dict[str, asyncio.Event] = {}

    def begin(self, name: str, emitter: Any) -> None:
        self._ended[name] = asyncio.Event()

        async def emit() -> None:
            while not self._ended[name].is_set():
                more = [self.sent[name] + number for number in range(AT_ONCE)]
                # at once, and in order all the same
                await asyncio.gather(*(emitter.emit("count", {"by": name, "n": n}, to="user:u1") for n in more))
                self.sent[name] += len(more)
                await asyncio.sleep(0.005)

        self._tasks[name] = asyncio.create_task(emit())

    async def end(self, *names: str) -> None:
        for name in names or list(self._tasks):
            self._ended[name].set()
            await self._tasks.pop(name)

    async def flow(self, more: int = 15) -> None:
        """Until each that is under way has emitted some more."""
        goal = {name: self.sent[name] + more for name in self._tasks}

        async def ahead() -> None:
            await eventually(
                lambda: (
                    all(self.sent[name] >= n for name, n in goal.items())
                    or any(task.done() for task in self._tasks.values())
                )
            )

        await ahead()
        for task in self._tasks.values():
            if task.done():
                task.result()


async def notified(client: StockClient, until_number: int) -> list[int]:
    """The numbers of a client's notifications, once it has that one."""
    await client.wait_for("notification", lambda args: args[0]["notification"]["n"] == until_number)
    return [args[0]["notification"]["n"] for args in client.events("notification")]


def counted(client: StockClient) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for args in client.events("count"):
        found[args[0]["by"]].append(args[0]["n"])
    return found


async def got_all(client: StockClient, begun: dict[str, int], sent: dict[str, int]) -> None:
    """A client got every event from `begun` (at the latest) to `sent`, once and in order."""
    await eventually(lambda: all(counted(client)[by][-1:] >= [n - 1] for by, n in sent.items() if n > begun.get(by, 0)))
    for by, numbers in counted(client).items():
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), by
        assert numbers[0] <= begun.get(by, 0), by
        assert numbers[-1] >= sent[by] - 1, by


async def test_everything_reaches_all_once_and_in_order(fleet: ServersOfBothModes) -> None:
    servers = await four(fleet)
    for server, mode in zip(servers, ("pubsub", "pubsub", "sharded", "sharded"), strict=True):
        stats = await fleet.stats(server)
        assert (stats["mode"], stats["modes"]) == (mode, ["single", "pubsub", "sharded"])
    clients = [await fleet.client(server) for server in servers]

    # one after the other, wherever: one order for all
    async with fleet.publisher() as publisher:
        emitters: Sequence[Any] = [*(server.app for server in servers), publisher]
        for number in range(100):
            await emitters[number % 5].emit_notification("u1", {"n": number})
        answer = await fleet.http.post(
            f"{servers[2].url}/api/emit",
            headers={"Authorization": f"Bearer {API_TOKEN}"},
            json={"event": "notification", "userId": "u1", "notification": {"n": 100}},
        )
        assert answer.status_code < 300
        for client in clients:
            assert await notified(client, 100) == list(range(101))

        # at the same time: in order for each emitter
        stream = Stream()
        for number, emitter in enumerate(emitters):
            stream.begin(f"e{number}", emitter)
        await stream.flow(60)
        await stream.end()
        for client in clients:
            await got_all(client, {}, stream.sent)


async def test_what_an_event_says_is_carried_over_as_it_is(fleet: ServersOfBothModes) -> None:
    servers = await four(fleet)
    clients = [await fleet.client(server, f"u{number}") for number, server in enumerate(servers)]
    rooms = [f"user:u{number}" for number in range(4)]
    for sender in (servers[0], servers[3]):
        emit = sender.app.emit
        # rooms that all are in several of, and that are in several partitions
        await emit("several", ("x", b"\x00\xff", {"y": 1}), to=[*rooms, "authenticated"])
        await emit("except", 1, to=[*rooms, "authenticated"], except_rooms=["user:u1", "user:u2"])
        await emit("skip", 2, to="authenticated", skip_sid=[str(clients[0].sid), str(clients[3].sid)])
        await emit("volatile", 3, to="authenticated", volatile=True)
        await emit("text", "ends in a text", to="authenticated")
        # in every partition, since only events of one partition have an order
        for room in (*rooms, "authenticated"):
            await emit("end", to=room)
    for number, client in enumerate(clients):
        for _ in range(4):  # of each sender, in the user's room and in that of all
            await client.wait_for("end")
        assert [args[:3] for args in client.events("several")] == [["x", b"\x00\xff", {"y": 1}]] * 2
        assert len(client.events("except")) == (0 if number in (1, 2) else 2)
        assert len(client.events("skip")) == (0 if number in (0, 3) else 2)
        assert len(client.events("volatile")) == 2
        assert [args[0] for args in client.events("text")] == ["ends in a text"] * 2


def knows_all(app: WebSocketServer, number: int) -> bool:
    return app.cluster.servers == app.get_fleet_connection_count() == number


async def test_requests_to_all_servers_reach_those_of_both_modes(fleet: ServersOfBothModes) -> None:
    servers = await four(fleet)
    clients = [await fleet.client(server) for server in servers]
    noted: list[str] = []
    for number, server in enumerate(servers):
        server.app.register_server_event_handler("note", partial(noted.append, f"s{number}"))
    for client in clients:
        await client.answer_with("heard")
    for server in servers:
        await eventually(partial(knows_all, server.app, 4))
    for server in (servers[1], servers[2]):
        found = await server.app.fetch_sockets("user:u1")
        assert {one.sid for one in found} == {client.sid for client in clients}
        assert len({one.server for one in found}) == 4
        told = await server.app.emit_with_ack("confirm", 1, to="user:u1")
        assert [one.data for one in told.answers] == ["heard"] * 4
        assert await server.app.get_fleet_user_connection_count("u1") == 4
    await servers[3].app.server_side_emit_with_ack("note")
    assert sorted(noted) == ["s0", "s1", "s2"]
    assert await servers[2].app.disconnect_sockets("user:u1") == 4
    for client in clients:
        assert await client.wait_disconnect() == "io server disconnect"


@pytest.mark.usefixtures("patient_limits")
async def test_a_revoked_session_ends_and_limits_hold_in_both_modes(fleet: ServersOfBothModes) -> None:
    servers = await four(fleet, max_connections_per_user=4)
    session = await servers[0].session("u1")
    clients = [await fleet.clients.connect(server.url, session, transports=["websocket"]) for server in servers]
    with pytest.raises(Refused) as caught:  # all four have answered, on all servers
        await fleet.clients.connect(servers[3].url, session, transports=["websocket"])
    assert caught.value.code == "TOO_MANY_CONNECTIONS"
    await servers[3].app.sessions.revoke([session["sessionID"]])
    for client in clients:
        assert await client.wait_disconnect() == "io server disconnect"


async def test_polling_needs_no_affinity_between_modes(fleet: ServersOfBothModes) -> None:
    servers = [await fleet.server(mode, publish_both=1, transports=("polling",)) for mode in MODES]
    async with Scatter(*(server.url for server in servers)) as scatter:
        clients = [
            await fleet.clients.connect(scatter.url, await servers[0].session("u1"), transports=["polling"])
            for _ in range(4)
        ]
        for number in range(20):
            await servers[number % 2].app.emit_notification("u1", {"n": number})
        for client in clients:
            assert await notified(client, 19) == list(range(20))
        assert all(scatter.sent[server.url] > 5 for server in servers)


@pytest.mark.parametrize("to", MODES)
async def test_a_fleet_changes_its_mode_while_events_flow(fleet: ServersOfBothModes, to: Mode) -> None:
    (start,) = {*MODES} - {to}
    fleet.say(start, publish_both=0)
    fleet.say(to, publish_both=1)
    stream = Stream()
    async with fleet.publisher() as publisher:
        old = [await fleet.server(start, adapter_file=str(fleet.file(start))) for _ in range(2)]
        first = [await fleet.client(server) for server in old]
        stream.begin("publisher", publisher)
        for number, server in enumerate(old):
            stream.begin(f"old{number}", server.app)
        await stream.flow()

        fleet.say(start, publish_both=1)
        for server in old:
            await fleet.until_both(server, 1)
        await stream.flow()

        new = [await fleet.server(to, adapter_file=str(fleet.file(to))) for _ in range(2)]
        for number, server in enumerate(new):
            stream.begin(f"new{number}", server.app)
        await stream.flow()
        later, begun = [], []
        for server in new:
            later.append(await fleet.client(server))
            begun.append({by: n + AT_ONCE for by, n in stream.sent.items()})  # what is under way may be there already
        await stream.flow()

        # the old ones go, one after the other; their clients have missed nothing until then
        for number, server in enumerate(old):
            await stream.end(f"old{number}")
            sent = dict(stream.sent)
            await got_all(first[number], {}, sent)
            await server.stop()
            await stream.flow()

        fleet.say(to, publish_both=0)
        for server in new:
            await fleet.until_both(server, 0)
        await stream.flow()
        await stream.end()
        for client, since in zip(later, begun, strict=True):
            await got_all(client, since, stream.sent)
            assert {"publisher", "old0", "old1", "new0", "new1"} == set(counted(client))
        for server in new:
            # A busy machine may be too slow for a check, and the next one finds it up again.
            await eventually(lambda server=server: is_idle(fleet, server, start))  # type: ignore[misc]  # no type for a default
            assert (await fleet.stats(server))["other"]["published"]["ok"] > 0


async def is_idle(fleet: ServersOfBothModes, server: RunningServer, mode: Mode) -> bool:
    """Whether the Redis of the other mode, this one, is up, and nothing waits for it."""
    other = (await fleet.stats(server))["other"]
    return bool((other["mode"], other["up"], other["waiting"]) == (mode, True, 0))


async def test_the_figure_goes_to_and_fro_under_events(fleet: ServersOfBothModes) -> None:
    """Of servers with it on nobody misses anything; of one that switches, its own mode gets everything."""
    fleet.say("pubsub", publish_both=0)
    switching = await fleet.server("pubsub", adapter_file=str(fleet.file("pubsub")))
    steady, there = await fleet.server("pubsub", publish_both=1), await fleet.server("sharded", publish_both=1)
    near = [await fleet.client(server) for server in (switching, steady)]
    far = await fleet.client(there)
    stream = Stream()
    for name, server in (("switching", switching), ("steady", steady), ("there", there)):
        stream.begin(name, server.app)
    for value in (1, 0, 1, 0, 1, 0):
        fleet.say("pubsub", publish_both=value)
        await fleet.until_both(switching, value)
        await stream.flow()
    await stream.end()
    for client in near:
        await got_all(client, {}, stream.sent)
    # two ways, each in order; which of their last events comes first is open
    await eventually(lambda: all(counted(far)[by][-1:] == [stream.sent[by] - 1] for by in ("steady", "there")))
    numbers = counted(far)
    assert numbers["steady"] == list(range(stream.sent["steady"]))
    assert numbers["there"] == list(range(stream.sent["there"]))
    # Of the one that switches, runs of what it emitted while the figure was 1, and nothing of the time between.
    some = numbers["switching"]
    assert some == sorted(set(some))
    assert 0 < len(some) < stream.sent["switching"]
    assert sum(after - before > 1 for before, after in itertools.pairwise(some)) == 2


async def test_what_waits_while_the_figure_changes_goes_by_the_new_one(
    frail: ServersOfBothModes, own_redis: RedisServer
) -> None:
    """Else an event could be on its way still when the first server of the other mode is there, and be missed by it."""
    frail.say("pubsub", publish_both=0)
    options = {"session_store": "memory", "publish_timeout": 60}
    here = await frail.server("pubsub", adapter_file=str(frail.file("pubsub")), **options)
    there = await frail.server("sharded", session_store="memory")
    client = await frail.client(there)
    await own_redis.pause(60)
    emitted = asyncio.create_task(here.app.emit_notification("u1", {"n": 1}))
    await eventually(lambda: broker_of(here).waiting)
    frail.say("pubsub", publish_both=1)
    await frail.until_both(here, 1)
    own_redis.resume()
    await emitted
    assert await notified(client, 1) == [1]


@pytest.mark.parametrize("to", MODES)
async def test_a_client_that_is_moved_starts_a_new_session(fleet: ServersOfBothModes, to: Mode) -> None:
    (start,) = {*MODES} - {to}
    servers = {mode: await fleet.server(mode, publish_both=1) for mode in MODES}
    session = await servers[start].session("u1")
    async with Forwarder(servers[start].url) as service:
        client = await fleet.clients.connect(service.url, session, transports=["websocket"])
        await servers[start].app.emit_notification("u1", {"n": 1})
        await client.wait_for("notification")
        sid = client.sid
        await servers[start].stop_serving()
        await client.wait_disconnect()
        await servers[start].app.shutdown()
        moved = await fleet.server(to, publish_both=1)
        service.urls = [moved.url]
        await client.wait_connect()
        assert not client.recovered
        assert client.sid != sid
        await moved.app.emit_notification("u1", {"n": 2})
        assert await notified(client, 2) == [1, 2]


@pytest.mark.parametrize("mode", MODES)
async def test_while_the_other_redis_is_away_emitters_get_an_error_and_the_own_mode_has_it(
    frail: ServersOfBothModes, own_redis: RedisServer, redis_cluster: RedisCluster, mode: Mode
) -> None:
    (other,) = {*MODES} - {mode}
    # sessions are in memory: they would be away with REDIS_URL
    options = {"publish_both": 1, "publish_timeout": 5, "redis_timeout": 1, "session_store": "memory"}
    here, there = [await frail.server(one, **options) for one in (mode, other)]
    clients = [await frail.client(server) for server in (here, there)]
    await here.app.emit_notification("u1", {"n": 0})
    nodes = redis_cluster.nodes if other == "sharded" else [own_redis]
    for node in nodes:
        await node.kill()
    with pytest.raises(PublishUncertain, match="servers of one mode have it"):
        await here.app.emit_notification("u1", {"n": 1})
    told = (await frail.stats(here))["other"]["published"]
    assert (told["ok"], told["failed"] + told["uncertain"]) == (1, 1)
    assert await notified(clients[0], 1) == [0, 1]
    if other == "sharded":
        await redis_cluster.start()
    else:
        await own_redis.start()

    async def goes_through() -> bool:
        try:
            await here.app.emit_notification("u1", {"n": 2})
        except PublishUncertain:
            return False
        return True

    await eventually(goes_through)
    assert set(await notified(clients[0], 2)) == {0, 1, 2}
    assert sorted(set(await notified(clients[1], 2))) in ([0, 2], [0, 1, 2])


async def test_emitters_wait_for_another_redis_that_hangs_though_nobody_listens_to_it(
    frail: ServersOfBothModes, redis_cluster: RedisCluster
) -> None:
    """From `publish_both` on for servers; for programs from REDIS_CLUSTER_URL on."""
    options = {"publish_timeout": 10, "redis_timeout": 1, "session_store": "memory"}
    server = await frail.server("pubsub", adapter_file=str(frail.file("pubsub")), **options)
    client = await frail.client(server)
    for node in redis_cluster.nodes:
        await node.pause(60)
    await server.app.emit_notification("u1", {"n": 0})
    assert (await frail.stats(server))["other"]["published"] == {"ok": 0, "failed": 0, "uncertain": 0}
    async with Publisher(settings_for_tests(**frail.urls, publish_timeout=5, redis_timeout=1)) as publisher:
        with pytest.raises(PublishUncertain, match="servers of one mode have it"):
            await publisher.emit_notification("u1", {"n": 1})
    frail.say("pubsub", publish_both=1)
    await frail.until_both(server, 1)
    emitted = asyncio.create_task(server.app.emit_notification("u1", {"n": 2}))
    assert await notified(client, 2) == [0, 1, 2]
    assert not emitted.done()
    with pytest.raises(PublishUncertain, match="servers of one mode have it"):
        await emitted


@pytest.mark.parametrize("mode", MODES)
async def test_what_the_own_redis_does_not_take_goes_to_neither(
    frail: ServersOfBothModes, own_redis: RedisServer, redis_cluster: RedisCluster, mode: Mode
) -> None:
    (other,) = {*MODES} - {mode}
    options = {"publish_both": 1, "publish_timeout": 5, "redis_timeout": 1, "session_store": "memory"}
    here, there = [await frail.server(one, **options) for one in (mode, other)]
    client = await frail.client(there)
    await here.app.emit_notification("u1", {"n": 0})
    for node in redis_cluster.nodes if mode == "sharded" else [own_redis]:
        await node.kill()
    with pytest.raises(AdapterUnavailable):
        await here.app.emit_notification("u1", {"n": 1})
    with pytest.raises(AdapterUnavailable) as told:
        await here.app.emit_notification("u1", {"n": 2})
    assert not isinstance(told.value, PublishUncertain)  # nothing was sent: it can be tried again
    with pytest.raises(PublishUncertain):
        await there.app.emit_notification("u1", {"n": 3})
    assert await notified(client, 3) == [0, 3]


async def test_a_sharded_server_is_ready_only_with_both_redis(
    frail: ServersOfBothModes, own_redis: RedisServer, redis_cluster: RedisCluster
) -> None:
    server, second = [await frail.server("sharded", redis_timeout=1, session_store="memory") for _ in range(2)]
    client = await frail.client(second)

    async def health() -> tuple[int, dict[str, Any]]:
        answer = await frail.http.get(f"{server.url}/health/redis")
        return answer.status_code, answer.json()

    async def is_up() -> bool:
        return (await health())[0] == 200

    async def is_down() -> bool:
        return (await health())[0] == 503

    await eventually(is_up)
    assert (await health())[1]["mode"] == "sharded"
    await redis_cluster.kill(redis_cluster.nodes[0])
    await eventually(is_down)
    await redis_cluster.start(redis_cluster.nodes[0])
    await eventually(is_up)
    await own_redis.kill()
    await eventually(is_down)
    await server.app.emit_notification("u1", {"n": 1})  # events do without it
    assert await notified(client, 1) == [1]
    await own_redis.start()
    await eventually(is_up)


async def test_a_fleet_whose_only_redis_was_a_cluster_gets_one_beside_it(fleet: ServersOfBothModes) -> None:
    cluster = {"redis_url": fleet.urls["redis_cluster_url"], "auth_required": False}
    before = await fleet.make(**cluster)
    async with Forwarder(before.url) as service:
        client = await fleet.clients.connect(service.url, transports=["websocket"])
        after = await fleet.server("sharded", auth_required=False)
        await broker_of(before).wait_until_subscribed()
        await after.app.emit("count", 1, to="market:status")
        await before.app.emit("count", 2, to="market:status")
        await client.wait_for("count", lambda args: args[0] == 2)
        await before.stop_serving()
        await client.wait_disconnect()
        await after.app.emit("count", 3, to="market:status")
        await before.app.shutdown()
        moved = await fleet.server("sharded", auth_required=False)
        service.urls = [moved.url]
        await client.wait_connect()
        assert client.recovered
        await moved.app.emit("count", 4, to="market:status")
        await client.wait_for("count", lambda args: args[0] == 4)
        assert [args[0] for args in client.events("count")] == [1, 2, 3, 4]


async def test_a_server_without_another_redis_refuses_the_figure(
    redis_server: RedisServer, make_server: MakeServer, tmp_path: Path
) -> None:
    file = tmp_path / "adapter.yaml"
    file.write_text("publish_both: 1\npublish_batch: 3\n")
    for settings in ({}, {"redis_url": redis_server.url}):
        server = await make_server(adapter_file=str(file), **settings)
        stats = server.app.get_stats()["adapter"]
        assert stats["error"].startswith("publish_both: needs another Redis: REDIS_CLUSTER_URL")
        assert (stats["inForce"]["publish_both"], stats["inForce"]["publish_batch"]) == (0, 64)
        assert stats["revision"] is None


async def test_mode_single_beside_a_redis(
    fleet: ServersOfBothModes, redis_server: RedisServer, make_server: MakeServer
) -> None:
    """Events stay here; sessions and limits are where REDIS_URL says."""
    alone = await make_server(redis_url=redis_server.url, adapter_mode="single")
    beside = await make_server(redis_url=redis_server.url)
    assert (alone.app.mode, alone.app.get_stats()["adapter"]["modes"]) == ("single", ["single", "pubsub"])
    assert (await fleet.http.get(f"{alone.url}/health/redis")).json()["mode"] == "single"
    session = await beside.session("u1")
    clients = [await fleet.clients.connect(one.url, session, transports=["websocket"]) for one in (alone, beside)]
    await beside.app.emit_notification("u1", {"n": 1})
    await alone.app.emit_notification("u1", {"n": 2})
    await beside.app.emit_notification("u1", {"n": 3})
    for client, expected in zip(clients, ([2], [1, 3]), strict=True):
        assert await notified(client, expected[-1]) == expected
    assert await redis_server.ask("KEYS", f"*{session['sessionID']}*")
