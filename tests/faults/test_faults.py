"""The proof: whatever goes wrong, each client gets every event once and in order.

`pytest tests/faults -s` shows what happens. In the environment: FAULTS_SECONDS (of each mode, 120), FAULTS_SEED (1; the
same seed, the same plan), FAULTS_ONLY (names of faults, comma-separated), FAULTS_CLIENTS (12), FAULTS_REDIS_AWAY (30),
FAULTS_SERVER (another build's `tradecast serve`), FAULTS_SET_… (a setting of the servers). Logs of the servers, diaries
of the clients and what was published are in build/faults/<mode>/.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from faults.backing import Backing, OneRedis, WithCluster, WithMongo, WithSentinel
from faults.faults import ANY_REDIS, CLIENTS, EVICTIONS, FIGURES, ONE_REDIS, SERVERS
from faults.proof import Order
from faults.stage import perform, staged
from tradecast.config.settings import SettingsError, load_settings

SECONDS = float(os.environ.get("FAULTS_SECONDS") or 120)
SEED = int(os.environ.get("FAULTS_SEED") or 1)
CLIENT_COUNT = int(os.environ.get("FAULTS_CLIENTS") or 12)
REDIS_AWAY = min(float(os.environ.get("FAULTS_REDIS_AWAY") or 30), SECONDS / 4)
ONLY = [name.strip() for name in os.environ.get("FAULTS_ONLY", "").split(",") if name.strip()]
FOLDER = Path(__file__).parents[2] / "build" / "faults"

pytestmark = [pytest.mark.faults, pytest.mark.redis, pytest.mark.node, pytest.mark.timeout(SECONDS + 600)]


@dataclass(frozen=True, slots=True)
class Mode:
    """What stands behind how many servers, and what can go wrong with it.

    Attributes:
        order: Within what events come in the order in which they were published.
        clients: How many are connected at least.
    """

    backing: Callable[[], Backing]
    servers: int
    faults: tuple[str, ...]
    order: Order = "all rooms"
    clients: int = 0


MODES = {
    # what is in memory is lost with the process: its connections only
    "single": Mode(Backing, 1, (*CLIENTS, *FIGURES)),
    "evicting": Mode(WithMongo, 2, (*CLIENTS, *EVICTIONS, "redis_restart_empty")),
    # The sessions are in the Redis that loses everything: the store is away, and nobody is logged out,
    # where each server has more than 20 (`tradecast.sessions.loss.mass_loss`)
    "emptied": Mode(OneRedis, 2, (*CLIENTS, "redis_restart_empty"), clients=56),
    "pubsub": Mode(OneRedis, 3, (*CLIENTS, *SERVERS, *FIGURES, *ONE_REDIS)),
    # whatever ends or holds up the master for long is a failover here
    "sentinel": Mode(WithSentinel, 3, (*CLIENTS, *SERVERS, *FIGURES, *ANY_REDIS, "sentinel_failover")),
    "sharded": Mode(WithCluster, 3, (*CLIENTS, *SERVERS, *FIGURES, *ONE_REDIS, "move_slots"), order="room"),
}


def knows_cluster() -> bool:
    """Whether the settings take the address of a Redis Cluster."""
    try:
        load_settings({"REDIS_URL": "redis+cluster://127.0.0.1:7000,127.0.0.1:7001"})
    except SettingsError:
        return False
    return True


@pytest.mark.parametrize("name", [name for name in MODES if name != "sharded" or knows_cluster()])
async def test_each_event_comes_once_and_in_order(name: str) -> None:
    mode = MODES[name]
    faults = [fault for fault in mode.faults if not ONLY or fault in ONLY]
    assert faults, f"FAULTS_ONLY names none of {', '.join(mode.faults)}"
    print(f"\n{name}, seed {SEED}, {SECONDS:g} s")
    backing = mode.backing()
    try:
        await backing.start()
        async with staged(
            *(backing, mode.servers, FOLDER / name),
            seconds=SECONDS,
            redis_away=REDIS_AWAY,
            clients=max(CLIENT_COUNT, mode.clients),
            seed=SEED,
        ) as stage:
            result = await perform(stage, faults, SEED, mode.order)
    finally:
        await asyncio.to_thread(backing.close)
    print(result.table)
    missed = set(faults) - {line.split()[2] for line in stage.happened}
    if missed:
        print(f"no time was left for: {', '.join(sorted(missed))}")
    if result.wrong:
        told = [f"{name}, seed {SEED}: {len(result.wrong)} things are wrong", *result.wrong[:60], "", result.table]
        pytest.fail("\n".join(told), pytrace=False)
