"""One run: servers, clients, a publisher, faults for a while, and the verdicts when all has calmed down."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.backing import Backing
from faults.crowd import ROOMS, gathered
from faults.faults import BEFORE_FAILOVER, FRESH_USER, FaultRun, draw_plan, inject
from faults.fleet import API_TOKEN, running
from faults.proof import Order, Verdict, problems, prove, table
from faults.publisher import HttpOutlet, NumberedPublisher, Outlet, RedisOutlet
from faults.quotes import SYMBOLS, QuotePublisher
from kit.network.balancer import Balancer
from kit.network.slow_link import SlowLink
from kit.waiting import eventually

READY_WITHIN = 120.0
CALM_WITHIN = 60.0
LINGER = 1.0
"""Seconds that clients are listened to after the last event, for what comes twice."""
RATE = 5.0
QUIET_RATE = 0.1
HTTP_EVERY = 4
# So many clients watch symbols, however many there are.
WATCHERS = 12
DELTAS_EVERY = 3
SLOW_EVERY = 4
SLOW_RATE = 60_000.0
"""Bytes a second of all slow clients together: fewer than their quotes have."""
SLOW_BUFFER = 4_096


@dataclass(frozen=True, slots=True)
class Result:
    """What a run showed.

    Attributes:
        verdicts: Of each client.
        wrong: What is wrong, one line each.
        table: The verdicts for people.
    """

    verdicts: list[Verdict]
    wrong: list[str]
    table: str

    @property
    def gaps(self) -> int:
        return sum(len(verdict.gap) for verdict in self.verdicts)

    @property
    def not_recovered(self) -> int:
        return sum(len(verdict.not_recovered) for verdict in self.verdicts)


def _empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()


@contextlib.asynccontextmanager
async def staged(
    backing: Backing,
    servers: int,
    folder: Path,
    *,
    seconds: float,
    redis_away: float = 30,
    clients: int = 12,
    seed: int = 1,
    auth: Mapping[str, Any] | None = None,
    has_slow_clients: bool = True,
    **variables: str,
) -> AsyncIterator[FaultRun]:
    """Everything, started; every client is in its rooms, and nothing is published yet.

    The first clients watch symbols, and some of them ask for deltas. Two of three users have one client, the third has
    two; the events of the last one are rare. Every fourth user's events go through `POST /api/emit`, and all do where
    there is no Redis.

    Args:
        backing: Already started.
        servers: How many.
        folder: For logs and journals; what an earlier run left there is overwritten.
        seconds: How long faults last.
        redis_away: Seconds that a killed Redis stays away.
        clients: How many.
        seed: Of the publisher's choices.
        auth: Besides what the session needs, what clients say in `auth`.
        has_slow_clients: Whether some clients are on a slow link.
        variables: Of the servers' environment.
    """
    _empty(folder)
    variables |= backing.variables
    if backing.url:
        variables["REDIS_URL"] = backing.url
    async with contextlib.AsyncExitStack() as stack:
        balancer = await stack.enter_async_context(Balancer())
        fleet = await stack.enter_async_context(running(servers, balancer, folder, **variables))
        slow = await stack.enter_async_context(
            SlowLink(balancer.url, delay=0.0, rate=SLOW_RATE, receive_buffer=SLOW_BUFFER)
        )
        crowd = await stack.enter_async_context(gathered(balancer.url, folder / "clients.jsonl"))
        users = [f"u{number}" for number in range(max(1, clients * 3 // 4))]
        sessions = {user: {**await fleet.session(user), **(auth or {})} for user in (*users, FRESH_USER)}
        http = HttpOutlet(lambda: [server.url for server in fleet.live], API_TOKEN)
        stack.push_async_callback(http.close)
        outlets: dict[str, Outlet] = dict.fromkeys(sessions, http)
        if backing.url:
            redis = RedisOutlet(backing.url)
            await redis.open()
            stack.push_async_callback(redis.close)
            outlets |= {user: redis for number, user in enumerate(sessions) if number % HTTP_EVERY != 1}
        rates = dict.fromkeys(users, RATE) | {users[-1]: QUIET_RATE, FRESH_USER: 0.0}
        publisher = NumberedPublisher(
            outlets, rates, secrets.token_hex(4), random.Random(seed), folder / "published.jsonl"
        )
        stack.push_async_callback(publisher.close)
        for number in range(clients):
            # the second clients of users 0, 3, 6, … come last
            user = users[number] if number < len(users) else users[(number - len(users)) * 3 % len(users)]
            said = {**sessions[user], "deltas": True} if number % DELTAS_EVERY == 1 else sessions[user]
            url = slow.url if number % SLOW_EVERY == 2 and has_slow_clients else ""
            crowd.add(f"c{number}", said, url=url, symbols=SYMBOLS if number < WATCHERS else ())
        await eventually(lambda: all(client.ready for client in crowd.clients.values()), READY_WITHIN)
        quotes = QuotePublisher(redis if backing.url else http)
        stack.push_async_callback(quotes.stop)
        yield FaultRun(fleet, balancer, crowd, publisher, quotes, backing, sessions, seconds, redis_away)


async def perform(stage: FaultRun, faults: Sequence[str], seed: int, order: Order = "all rooms") -> Result:
    """Publish, let things go wrong, wait until all is calm, and judge."""
    plan = draw_plan(seed, faults, stage.seconds)
    for group, steps in plan.items():
        if steps:
            print(f"plan for {group}: {', '.join(step.fault for step in steps[:16])}, …")
    stage.publisher.start()
    stage.quotes.start()
    begun = time.monotonic()
    await inject(stage, plan)
    await asyncio.sleep(max(0.0, begun + stage.seconds - time.monotonic()))
    return await judge(stage, order)


async def judge(stage: FaultRun, order: Order = "all rooms") -> Result:
    """Stop publishing, wait until every client has the last events, and say what each went through."""
    await stage.publisher.stop()
    await stage.quotes.stop()
    troubles = list(stage.troubles)
    users = {client.diary.user for client in stage.crowd.clients.values()}
    try:
        # which the clients are in the rooms for, so that they must get them
        await eventually(lambda: all(client.ready for client in stage.crowd.clients.values()), CALM_WITHIN)
    except AssertionError:
        unready = [name for name, client in stage.crowd.clients.items() if not client.ready]
        troubles.append(f"not in their rooms {CALM_WITHIN:g} s after the last fault: {', '.join(unready)}")
    await asyncio.sleep(LINGER)
    last: dict[str, set[str]] = {}
    try:
        for user in sorted(users):
            last[user] = {(await stage.publisher.publish_surely(user, room, CALM_WITHIN)).id for room in ROOMS}
    except AssertionError as error:
        troubles.append(str(error))
    clients = list(stage.crowd.clients.values())
    try:
        await stage.quotes.publish_surely(CALM_WITHIN)
    except AssertionError as error:
        troubles.append(str(error))
    with contextlib.suppress(AssertionError):
        await eventually(lambda: stage.quotes.are_shown(clients), CALM_WITHIN)
    troubles += stage.quotes.problems(clients, stage.failovers, BEFORE_FAILOVER)
    with contextlib.suppress(AssertionError):  # whoever lacks one is told of below
        await eventually(
            lambda: all(last.get(one.diary.user, set()) <= one.got for one in stage.crowd.clients.values()), CALM_WITHIN
        )
    await asyncio.sleep(LINGER)
    with contextlib.suppress(AssertionError):  # a machine that was held up for a heartbeat or two is no reason
        await eventually(lambda: all(client.connected for client in stage.crowd.clients.values()), CALM_WITHIN)
    published = stage.publisher.published
    verdicts = prove(published, stage.crowd.diaries, order, stage.lost_by_redis)
    troubles += [f"{name} ended by itself\n{_tail(stage, name)}" for name in stage.fleet.crashes()]
    troubles += [f"publishing failed without a clear error: {kind}" for kind in stage.publisher.unclear]
    shown = table(verdicts, published)
    if stage.publisher.errors:
        shown += "\nnot accepted: " + "; ".join(f"{kind}: {n}" for kind, n in stage.publisher.errors.most_common(8))
    lost = stage.history_lost
    wrong = problems(verdicts, stage.fleet.window, stage.failovers, stage.redis_faults, history_lost=lost)
    notes = _notes(stage)
    if notes:
        shown += f"\nsubscribing failed, and was done again: {notes}"
    return Result(verdicts, troubles + wrong, shown)


def _notes(stage: FaultRun) -> str:
    counts: dict[str, int] = {}
    for diary in stage.crowd.diaries:
        for entry in diary.entries:
            if entry.kind == "note":
                counts[entry.detail] = counts.get(entry.detail, 0) + 1
    return "; ".join(f"{kind}: {count}" for kind, count in sorted(counts.items()))


def _tail(stage: FaultRun, name: str) -> str:
    return next(server.tail() for server in stage.fleet.servers if server.name == name)
