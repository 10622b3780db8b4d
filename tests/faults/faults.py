"""What goes wrong, each with a name, and a plan of it drawn from a seed."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx
from redis.exceptions import RedisError

from faults.backing import Backing, WithCluster, WithSentinel, ids_in_streams
from faults.crowd import Crowd
from faults.fleet import Fleet, FleetServer
from faults.proof import IMPLIED, Interval
from faults.publisher import NumberedPublisher
from faults.quotes import QuotePublisher
from kit.network.balancer import Balancer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.sessions.loss.mass_loss import LEAST

Group = Literal["clients", "servers", "redis", "figures"]
Inject = Callable[["FaultRun", random.Random], Awaitable[str]]

BACK_WITHIN = 60.0
BEFORE_FAILOVER = 10.0
"""Seconds before a failover of whose events the replica may lack some: `min-replicas-max-lag` of its master."""
NOTICED_WITHIN = 10.0
"""Seconds within which servers use a Redis that is back: they try every 2 s, and then read what they missed."""
FORGOTTEN = 5.0
"""Seconds for which scripts are asked for that Redis has forgotten, at least."""
MARK = "faults:mark"
LONGEST = 8.0
"""Seconds that Redis refuses or hangs at most: longer than a request waits for it (twice REDIS_TIMEOUT)."""
FRESH_USER = "fresh"
ASKED_FOR = 3.0
"""Seconds that a server may take to answer, before it is asked again: it may have been frozen or ended meanwhile."""
ASKED_EVERY = 0.2
GARBAGE = (b"publish_batch: 0\n", b"history_events: many", b"- 1\n", b"{", b"\xff\xfe\x00", b"channel_linger: -1")
POLICIES = (
    *("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"),
    *("allkeys-lru", "allkeys-lfu", "allkeys-random"),
)
EVICTED = 5
"""Keys that are evicted at least, each time."""
STEP_DOWN = 20_000
"""Bytes by which the memory limit is lowered until that many are."""
TOLD_ANEW = 30.0
"""Seconds within which servers keep what Redis has lost of clients that stay connected once more."""
TOO_LARGE = 40_000
"""Bytes of an event that do not fit into the buffer that each of Redis's clients has (16 KB); only more is limited."""


@dataclass(slots=True)
class FaultRun:
    """All that can break, and what is noted of it.

    Attributes:
        seconds: How long the whole takes.
        redis_away: Seconds that a killed Redis stays away.
        lost_by_redis: Ids of accepted events that Redis lost on a failover.
        failovers: When that was.
        history_lost: When Redis lost, or may have lost, what it keeps for clients that are away, and why.
        redis_faults: When anything was wrong with Redis, as far as servers could know.
        happened: What happened when, for people.
        troubles: What should have been over and was not.
    """

    fleet: Fleet
    balancer: Balancer
    crowd: Crowd
    publisher: NumberedPublisher
    quotes: QuotePublisher
    backing: Backing
    auth: Mapping[str, Mapping[str, Any]]
    seconds: float
    redis_away: float
    lost_by_redis: set[str] = field(default_factory=set)
    failovers: list[Interval] = field(default_factory=list)
    history_lost: list[Interval] = field(default_factory=list)
    redis_faults: list[Interval] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    fresh: int = 0

    def some_clients(self, draw: random.Random, share: float) -> list[str]:
        """A share of the clients that are connected now, at least one of them where there is one."""
        names = [name for name, client in self.crowd.clients.items() if client.connected and self.balancer.of(name)]
        return draw.sample(names, min(len(names), max(1, round(share * len(names)))))

    def count_users(self, server: FleetServer) -> int:
        """Of how many users' clients this server has connections that are in order."""
        ours = [link for link in self.balancer.connections if link.server_url.endswith(f":{server.port}")]
        alive = [link.client for link in ours if link.flowing.is_set() and not link.half_dead]
        return len({self.crowd.clients[name].diary.user for name in alive if name in self.crowd.clients})

    async def back_again(self, clients: Sequence[str], connections: Sequence[int]) -> None:
        """Until each of the clients has connected once more than that often."""
        pairs = [(self.crowd.clients[name], count) for name, count in zip(clients, connections, strict=True)]

        def away() -> list[str]:
            return [one.diary.client for one, count in pairs if not (one.connected and one.connections > count)]

        try:
            await eventually(lambda: not away(), BACK_WITHIN)
        except AssertionError:
            raise AssertionError(f"not back within {BACK_WITHIN:g} s: {', '.join(away())}") from None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        name: What it is called.
        group: Faults of one group come one after the other, those of different groups at the same time.
        inject: Does it, sees to it that it is over, and tells in a few words what was done.
    """

    name: str
    group: Group
    inject: Inject


FAULTS: dict[str, Fault] = {}


def fault(group: Group) -> Callable[[Inject], Inject]:
    """A fault of the function's name."""

    def register(inject: Inject) -> Inject:
        FAULTS[inject.__name__] = Fault(inject.__name__, group, inject)
        return inject

    return register


# -- clients and their network


@fault("clients")
async def cut_clients(stage: FaultRun, draw: random.Random) -> str:
    """A third of the clients lose their connections, which both sides learn; some twice in a row."""
    names = stage.some_clients(draw, 1 / 3)
    before = [_cut(stage, name) for name in names]
    await stage.back_again(names, before)
    again = draw.sample(names, len(names) // 2)
    before = [_cut(stage, name) for name in again]
    await stage.back_again(again, before)
    return f"{len(names)} clients, {len(again)} of them twice in a row"


def _cut(stage: FaultRun, name: str) -> int:
    count = stage.crowd.clients[name].connections
    link = stage.balancer.of(name)
    if link is None:  # it has just lost it otherwise
        return count - 1
    link.cut()
    return count


@fault("clients")
async def freeze_clients(stage: FaultRun, draw: random.Random) -> str:
    """Packets of a third of the clients get lost, so that both sides have only the heartbeat to go by."""
    names = stage.some_clients(draw, 1 / 3)
    links = [link for name in names if (link := stage.balancer.of(name)) is not None]
    before = [stage.crowd.clients[link.client].connections for link in links]
    for link in links:
        link.freeze()
    try:
        await stage.back_again([link.client for link in links], before)
    finally:
        for link in links:
            link.thaw()
    return f"{len(links)} clients"


@fault("clients")
async def half_dead_clients(stage: FaultRun, draw: random.Random) -> str:
    """A third of the clients lose their connections and are back at once, while the old servers still hold them."""
    names = stage.some_clients(draw, 1 / 3)
    links = [link for name in names if (link := stage.balancer.of(name)) is not None]
    before = [stage.crowd.clients[link.client].connections for link in links]
    for link in links:
        link.leave_half()
    await stage.back_again([link.client for link in links], before)
    held = sum(link in stage.balancer.connections for link in links)
    return f"{len(links)} clients; {held} were still held when they were back"


@fault("clients")
async def cut_fresh_client(stage: FaultRun, draw: random.Random) -> str:
    """A client that has received nothing yet loses its connection, and an event is published while it is away."""
    stage.fresh += 1
    name = f"fresh{stage.fresh}"
    client = stage.crowd.add(name, stage.auth[FRESH_USER])
    await eventually(lambda: client.ready, BACK_WITHIN)
    times = draw.choice((1, 2))
    for _ in range(times):
        before = _cut(stage, name)
        await eventually(lambda: not client.connected, BACK_WITHIN)
        for room in ("portfolio", "trades", IMPLIED):
            await stage.publisher.publish(FRESH_USER, room)
        await stage.back_again([name], [before])
        await eventually(lambda: client.ready, BACK_WITHIN)
    return f"{name}, {times} times in a row"


# -- servers


@fault("servers")
async def kill_server(stage: FaultRun, draw: random.Random) -> str:
    """SIGKILL; another one takes its place a little later."""
    server = draw.choice(stage.fleet.servers)
    await stage.fleet.kill(server)
    await asyncio.sleep(draw.uniform(0, 3))
    await stage.fleet.start(server)
    return server.name


@fault("servers")
async def restart_server(stage: FaultRun, draw: random.Random) -> str:
    """A rolling restart: one after the other is drained and started again; of some only, where time is short."""
    count = len(stage.fleet.servers) if stage.seconds >= 60 else 1
    servers = draw.sample(stage.fleet.servers, count)
    took = []
    for server in servers:
        took.append(await stage.fleet.terminate(server))
        await stage.fleet.start(server)
    return ", ".join(f"{server.name} in {seconds:.1f} s" for server, seconds in zip(servers, took, strict=True))


@fault("servers")
async def stop_server(stage: FaultRun, draw: random.Random) -> str:
    """SIGSTOP for some seconds: it holds its connections, and wakes up with clients that are elsewhere by then."""
    server = draw.choice(stage.fleet.servers)
    seconds = draw.uniform(2, 8)
    server.freeze()
    try:
        await asyncio.sleep(seconds)
    finally:
        server.go_on()
    return f"{server.name} for {seconds:.1f} s"


# -- what servers run with


@fault("figures")
async def other_figures(stage: FaultRun, draw: random.Random) -> str:
    """Each server's file gets figures of its own, or goes; one's makes no sense for a while."""
    wrong = draw.choice(stage.fleet.servers)
    garbage = draw.choice(GARBAGE)
    write_figures(wrong.adapter_file, garbage, draw)
    told = []
    async with httpx.AsyncClient(trust_env=False, timeout=ASKED_FOR) as http:
        about = await _until_seen(http, wrong, garbage)
        assert about["error"], f"{wrong.name} takes what makes no sense: {garbage!r}"
        assert about["revision"] != about["seen"]
        for server in stage.fleet.servers:
            figures = draw_figures(draw)
            text = None if figures is None else json.dumps(figures).encode()
            write_figures(server.adapter_file, text, draw)
            about = await _until_seen(http, server, text)
            assert about["error"] is None, f"{server.name}: {about['error']}"
            assert about["revision"] == about["seen"]
            in_force = {name: value for name, value in about["inForce"].items() if about["source"][name] == "file"}
            assert in_force == (figures or {}), f"{server.name} runs with {in_force}, and not with {figures}"
            told.append("no file" if figures is None else f"{len(figures)} figures")
    return f"{wrong.name} with {garbage!r} first; then {', '.join(told)}"


def draw_figures(draw: random.Random) -> dict[str, float] | None:
    """Some figures that cost nobody an event; None for no file."""
    if draw.random() < 0.15:
        return None
    all_of_them = {
        # fewer would be a reason not to recover
        "history_events": draw.randint(1_000, 20_000),
        "publish_batch": draw.choice((1, 2, 16, 1_000)),
        "batch_window_ms": draw.choice((0, 0.5, 5, 100)),
        "publish_buffer": draw.randint(1_000, 50_000),
        "publish_timeout": draw.choice((5, 10, 20)),
        "channel_linger": draw.choice((0, 1, 15)),
        "subscription_batch": draw.choice((1, 3, 100, 10_000)),
    }
    return {name: value for name, value in all_of_them.items() if draw.random() < 0.7}


def write_figures(path: Path, content: bytes | None, draw: random.Random) -> None:
    """Change a file in one of the ways in which files are changed: in place, by renaming, by a link that is swapped."""
    if content is None:
        path.unlink(missing_ok=True)
        return
    how = draw.choice(("place", "rename", "link"))
    if how == "place" and not path.is_symlink():
        path.write_bytes(content)
        return
    new = path.with_suffix(f".{draw.randrange(2**32):08x}")
    new.write_bytes(content)
    if how == "link":
        link = path.with_suffix(".new")
        link.symlink_to(new.name)
        new = link
    new.rename(path)


async def _until_seen(http: httpx.AsyncClient, server: FleetServer, content: bytes | None) -> dict[str, Any]:
    """What a server tells of its adapter when it has found this content; it may be away or frozen meanwhile."""
    wanted = None if content is None else hashlib.sha256(content).hexdigest()[:16]
    about: dict[str, Any] = {}

    async def seen() -> bool:
        await asyncio.sleep(ASKED_EVERY)
        try:
            about.update((await http.get(f"{server.admin_url}/admin/stats")).json()["adapter"])
        except (httpx.HTTPError, ValueError):
            return False
        return bool(about["seen"] == wanted)

    try:
        await eventually(seen, BACK_WITHIN)
    except AssertionError:
        raise AssertionError(f"{server.name} has not seen its file within {BACK_WITHIN:g} s: {about}") from None
    return about


# -- Redis


@fault("redis")
async def redis_restart(stage: FaultRun, draw: random.Random) -> str:
    """An orderly restart."""
    server = draw.choice(stage.backing.masters())
    await server.stop()
    await stage.backing.back(server)
    return f"port {server.port}"


@fault("redis")
async def redis_kill(stage: FaultRun, draw: random.Random) -> str:
    """SIGKILL, and away for a while."""
    server = draw.choice(stage.backing.masters())
    await server.kill()
    await asyncio.sleep(stage.redis_away)
    await stage.backing.back(server)
    return f"port {server.port}, away for {stage.redis_away:.0f} s"


@fault("redis")
async def client_kill(stage: FaultRun, draw: random.Random) -> str:
    """Redis closes connections: the subscribers', and all others, in random order."""
    told = []
    for kind in draw.sample(("pubsub", "normal"), 2):
        ours = await eventually(partial(_count, stage, kind), BACK_WITHIN, what=f"connections of type {kind}")
        killed = [await server.ask("CLIENT", "KILL", "TYPE", kind) for server in stage.backing.masters()]
        told.append(f"{sum(killed)} of type {kind}, of them {ours} of servers and publishers")
        await asyncio.sleep(draw.uniform(0, 1))
    return ", ".join(told)


async def _count(stage: FaultRun, kind: str) -> int:
    """How many connections servers and publishers have to all masters; none yet where Redis has just come back."""
    return sum([await _connections(server, kind) for server in stage.backing.masters()])


async def _connections(server: RedisServer, kind: str) -> int:
    """How many connections servers and publishers have: those that run scripts, or listen to channels of their own."""
    listed = str(await server.ask("CLIENT", "LIST", "TYPE", kind)).splitlines()
    about = [dict(pair.partition("=")[::2] for pair in line.split()) for line in listed]
    if kind == "normal":
        return sum(one["cmd"].startswith("eval") for one in about)
    return sum(int(one["sub"]) + int(one.get("ssub", 0)) > 1 for one in about)  # a Sentinel has one


@fault("redis")
async def slow_redis(stage: FaultRun, draw: random.Random) -> str:
    """Redis takes connections, and answers nothing for some seconds."""
    server = draw.choice(stage.backing.masters())
    seconds = draw.uniform(2, LONGEST)
    await server.pause(seconds + BACK_WITHIN)
    answer = asyncio.create_task(server.ask("PING"))
    try:
        await asyncio.sleep(seconds)
        # the question itself may have been given up by then, on a machine that was held up
        assert not (answer.done() and answer.exception() is None), "Redis answers"
    finally:
        server.resume()
        await asyncio.wait([answer])
    return f"for {seconds:.1f} s"


@fault("redis")
async def oom(stage: FaultRun, draw: random.Random) -> str:
    """Memory is full: Redis refuses every command that may need some."""
    server = draw.choice(stage.backing.masters())
    seconds = draw.uniform(2, LONGEST)
    before = await _errors(server, "OOM")

    async def refused_some() -> int:
        return await _errors(server, "OOM") - before

    async with _configured(server, "maxmemory", "1", "0"):
        await asyncio.sleep(seconds)
        refused = await eventually(refused_some, BACK_WITHIN, what="something is refused")
    return f"for {seconds:.1f} s; Redis refused {refused} requests"


async def _errors(server: RedisServer, kind: str) -> int:
    """How many answers were an error of this kind so far."""
    counts = await server.ask("INFO", "errorstats")
    return int(counts.get(f"errorstat_{kind}", {"count": 0})["count"])


async def _evict(stage: FaultRun, draw: random.Random, policy: str) -> str:
    server = draw.choice(stage.backing.masters())
    begun = time.time()
    before = await _evicted(server)
    await server.ask("CONFIG", "SET", "maxmemory-policy", policy)
    limit = int((await server.ask("INFO", "memory"))["used_memory"])
    try:
        deadline = time.monotonic() + LONGEST
        while await _evicted(server) < before + EVICTED:
            assert time.monotonic() < deadline, f"{policy}: nothing is evicted"
            limit -= STEP_DOWN
            await server.ask("CONFIG", "SET", "maxmemory", limit)
            await asyncio.sleep(0.05)
    finally:
        await server.ask("CONFIG", "SET", "maxmemory", 0)
        await server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    stage.history_lost.append(Interval(begun, time.time() + TOLD_ANEW, policy))
    return f"{await _evicted(server) - before} keys"


async def _evicted(server: RedisServer) -> int:
    return int((await server.ask("INFO", "stats"))["evicted_keys"])


def _evicts_by(policy: str) -> None:
    async def inject(stage: FaultRun, draw: random.Random) -> str:
        return await _evict(stage, draw, policy)

    inject.__doc__ = f"Memory is full, and Redis evicts some keys by the policy {policy}."
    name = f"evict_{policy.replace('-', '_')}"
    FAULTS[name] = Fault(name, "redis", inject)


for _policy in POLICIES:
    _evicts_by(_policy)


@fault("redis")
async def redis_restart_empty(stage: FaultRun, draw: random.Random) -> str:
    """An orderly restart that loses everything. Sessions that were in there are back a little later."""
    server = draw.choice(stage.backing.masters())
    sessions = {str(key): await server.ask("GET", key) for key in await server.ask("KEYS", "sess:*")}
    if sessions:  # of fewer, servers cannot know that they were lost, and not ended
        await eventually(lambda: min(map(stage.count_users, stage.fleet.servers)) >= LEAST, BACK_WITHIN, what="a crowd")
    begun = time.time()
    await server.ask("SET", MARK, "1")
    await server.stop()
    for kept in (*server.folder.glob("appendonlydir/*"), *server.folder.glob("*.rdb")):
        kept.unlink()
    await stage.backing.back(server)
    assert await server.ask("EXISTS", MARK) == 0, "it has what it had"
    if sessions:
        await asyncio.sleep(draw.uniform(1, 3))
        for key, value in sessions.items():
            await server.ask("SET", key, value, "EX", 86_400)
    stage.history_lost.append(Interval(begun, time.time() + TOLD_ANEW, "empty"))
    return f"port {server.port}, {len(sessions)} sessions in it"


@fault("redis")
async def script_flush(stage: FaultRun, draw: random.Random) -> str:
    """Redis forgets every script."""
    servers = stage.backing.masters()
    before = [await _errors(server, "NOSCRIPT") for server in servers]
    for server in servers:
        await server.ask("SCRIPT", "FLUSH")
    await asyncio.sleep(FORGOTTEN)

    async def asked_for() -> int:
        return sum([await _errors(server, "NOSCRIPT") for server in servers]) - sum(before)

    unknown = await eventually(asked_for, BACK_WITHIN, what="a script is asked for")
    return f"{unknown} requests were for scripts that Redis did not know"


@fault("redis")
async def output_buffer(stage: FaultRun, draw: random.Random) -> str:
    """Events are so large that Redis cuts off those who subscribe, by their output-buffer limit."""
    servers = stage.backing.masters()
    before = [_cut_by_limit(server) for server in servers]
    seconds = draw.uniform(2, 4)
    for server in servers:
        await server.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 16 0 0")
    stage.publisher.padding = TOO_LARGE
    try:
        await asyncio.sleep(seconds)
        cut = await eventually(
            lambda: sum(map(_cut_by_limit, servers)) - sum(before), BACK_WITHIN, what="Redis cuts a connection"
        )
    finally:
        stage.publisher.padding = 0
        for server in servers:
            await server.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 33554432 8388608 60")
    return f"for {seconds:.1f} s; Redis cut {cut} connections"


def _cut_by_limit(server: RedisServer) -> int:
    return (server.folder / "log").read_text(errors="replace").count("overcoming of output buffer limits")


@fault("redis")
async def sentinel_failover(stage: FaultRun, draw: random.Random) -> str:
    """The replica becomes the master: on command, or because the master is killed or hangs."""
    backing = stage.backing
    assert isinstance(backing, WithSentinel)
    (old,) = backing.masters()
    how = draw.choice(("command", "kill", "hang"))
    begun = time.time()
    match how:
        case "command":
            await backing.sentinel.ask("SENTINEL", "FAILOVER", "mymaster")
        case "kill":
            await old.kill()
        case _:
            await old.pause(BACK_WITHIN)
    try:
        new = await backing.failed_over()
    finally:
        old.resume()
    await backing.back(old)
    ended = time.time()
    kept = await ids_in_streams(new, stage.publisher.prefix)
    lost = {
        event.id
        for event in stage.publisher.published
        if event.outcome == "accepted"
        and event.ended >= begun - BEFORE_FAILOVER
        and event.started <= ended
        and event.id not in kept
    }
    stage.lost_by_redis |= lost
    stage.failovers.append(Interval(begun - BEFORE_FAILOVER, ended, f"failover ({how})"))
    return f"{how}, {ended - begun:.1f} s; the new master lacks {len(lost)} accepted events"


@fault("redis")
async def move_slots(stage: FaultRun, draw: random.Random) -> str:
    """Slots of Redis Cluster move to another node, while they are used."""
    backing = stage.backing
    assert isinstance(backing, WithCluster)
    moved = await backing.cluster.move_slots(draw.randint(2, 8), draw)
    return f"{len(moved)} slots"


@asynccontextmanager
async def _configured(server: RedisServer, name: str, value: str, usual: str) -> AsyncIterator[None]:
    await server.ask("CONFIG", "SET", name, value)
    try:
        yield
    finally:
        await server.ask("CONFIG", "SET", name, usual)


# -- the plan

CLIENTS = ("cut_clients", "freeze_clients", "half_dead_clients", "cut_fresh_client")
SERVERS = ("kill_server", "restart_server", "stop_server")
FIGURES = ("other_figures",)
ANY_REDIS = ("client_kill", "oom", "script_flush", "output_buffer")
EVICTIONS = tuple(f"evict_{policy.replace('-', '_')}" for policy in POLICIES)
ONE_REDIS = (*ANY_REDIS, "redis_restart", "redis_kill", "slow_redis")


@dataclass(frozen=True, slots=True)
class Step:
    """One fault of the plan.

    Attributes:
        pause: Seconds since the one before it in its group was over.
        fault: Its name.
        seed: Of all that it draws itself.
    """

    pause: float
    fault: str
    seed: int


def draw_plan(seed: int, names: Sequence[str], seconds: float) -> dict[Group, list[Step]]:
    """What goes wrong, by group, in order: each fault once, in random order, then all again, and so on.

    Args:
        seed: The same seed gives the same plan.
        names: The faults to draw from.
        seconds: How long there must be something to do, even if no fault takes any time.
    """
    groups: list[Group] = ["clients", "servers", "redis", "figures"]
    plan: dict[Group, list[Step]] = {}
    for group in groups:
        ours = [name for name in names if FAULTS[name].group == group]
        draw = random.Random(f"{seed}:{group}")
        steps: list[Step] = []
        while ours and sum(step.pause for step in steps) < seconds:
            pauses = ((draw.uniform(0.5, 4), name, draw.randrange(2**32)) for name in draw.sample(ours, len(ours)))
            steps.extend(itertools.starmap(Step, pauses))
        plan[group] = steps
    return plan


async def inject(stage: FaultRun, plan: dict[Group, list[Step]]) -> None:
    """Carry out a plan for as long as the stage says; returns when all that was begun is over."""
    begun = time.monotonic()

    async def carry_out(steps: list[Step]) -> None:
        for step in steps:
            left = begun + stage.seconds - time.monotonic()
            if step.pause >= left:
                return
            await asyncio.sleep(step.pause)
            at = time.monotonic() - begun
            since = time.time()
            try:
                note = await FAULTS[step.fault].inject(stage, random.Random(step.seed))
            except (AssertionError, RedisError, OSError) as error:
                note = f"{type(error).__name__}: {error}"
                stage.troubles.append(f"{step.fault} at {at:.1f} s: {note}")
            if FAULTS[step.fault].group == "redis":
                stage.redis_faults.append(Interval(since, time.time() + NOTICED_WITHIN, step.fault))
            text = f"{at:7.1f} s  {step.fault:<18} took {time.monotonic() - begun - at:4.1f} s  {note}".rstrip()
            stage.happened.append(text)
            print(text, flush=True)

    async with asyncio.TaskGroup() as tasks:
        for steps in plan.values():
            tasks.create_task(carry_out(steps))
