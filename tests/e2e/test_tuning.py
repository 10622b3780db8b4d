"""The operator tunes the adapter of a fleet that has clients and events: nothing is lost by any change."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.conftest import own_fleet
from e2e.crowd import Crowd
from e2e.kube import Fleet, Namespace
from e2e.outside import TUNED, Numbers, make_sessions
from e2e.proof import everybody, finish
from e2e.socketfleet import SERVERS, condition, events, looked_after, operated, resource
from kit.waiting import wait_until

CLIENTS = 200
CONFIG_MAP = "tradecast-adapter"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def tuned() -> Iterator[Fleet]:
    """A fleet of its own with an operator that may write figures, and that asks Redis."""
    rules = {"apply": "figures", "dwellSeconds": 10, "redisSecret": {"name": "tradecast-redis"}}
    with own_fleet("tuned", TUNED, operated(redisAdapter=rules)) as fleet:
        wait_until(lambda: looked_after(fleet), what="the operator looks after it")
        yield fleet


def pin(fleet: Namespace, **figures: float | None) -> None:
    spec = {"spec": {"redisAdapter": {"pinned": figures}}}
    fleet.kubectl("patch", "socketfleet", "tradecast", "--type=merge", "-p", json.dumps(spec))


def wait_for_figures(fleet: Namespace, told: str) -> None:
    """Wait for an event that names what is told, and have the kubelets bring the ConfigMap into the pods at once.

    By themselves they look at it once in a minute or so, and whenever a pod changes.
    """
    wait_until(lambda: any(told in message for message in events(fleet, "AdapterTuned")), 60, what=f"{told} is written")
    fleet.kubectl("annotate", "pods", "-l", SERVERS, "--overwrite", f"tradecast.dev/e2e-touched={time.time():.3f}")


def figures(fleet: Namespace) -> str:
    return str(fleet.one("configmap", CONFIG_MAP)["data"]["adapter.yaml"])


def redis(fleet: Namespace, *command: Any) -> str:
    return fleet.kubectl("exec", "deployment/redis", "--", "redis-cli", *map(str, command))


def used_memory(fleet: Namespace) -> int:
    (found,) = re.findall(r"^used_memory:(\d+)", redis(fleet, "info", "memory"), re.MULTILINE)
    return int(found)


def test_figures_change_under_load_and_nothing_is_lost(tuned: Fleet) -> None:
    fleet = tuned
    with Crowd(TUNED.url) as crowd:
        crowd.add(make_sessions(CLIENTS, TUNED), per_second=100)
        everybody(crowd)
        begun = time.time() * 1000
        with Numbers(per_second=20, ports=TUNED) as numbers:
            change_figures(fleet)
            report = finish("figures changed", crowd, numbers, begun)
    assert sum(report.reconnects(begun)) == 0, "nobody is moved for a figure"


def change_figures(fleet: Namespace) -> None:
    """Figures that are good, one that servers refuse, and a Redis that is short of memory."""
    pin(fleet, publish_batch=7, batch_window_ms=20, history_events=5_000)
    wait_for_figures(fleet, "publish_batch")
    wait_until(lambda: events(fleet, "AdapterConfirmed"), 150, what="every server has them")
    wait_until(lambda: condition(fleet, "AdapterTuned", "reason") == "InForce", what="the condition says so")
    confirmed = figures(fleet)
    assert confirmed == "batch_window_ms: 20\nhistory_events: 5000\npublish_batch: 7\n"
    # Whether they have another Redis only the servers know.
    pin(fleet, publish_both=1)
    wait_for_figures(fleet, "publish_both 0 → 1")
    (why,) = wait_until(lambda: events(fleet, "AdapterTakenBack"), 150, what="they are taken back")
    assert "refuses it" in why
    assert "publish_both: needs another Redis" in why
    assert figures(fleet) == confirmed
    assert condition(fleet, "AdapterTuned", "reason") == "TakenBack"
    assert resource(fleet)["status"]["adapter"]["revision"]
    pin(fleet, publish_both=None)
    # Redis is nearly full, as far as it knows.
    redis(fleet, "config", "set", "maxmemory", round(used_memory(fleet) / 0.9))
    wait_until(lambda: condition(fleet, "RedisLimited") == "True", 60, what="Redis is the limit")
    said = condition(fleet, "RedisLimited", "message")
    print(f"\n{why}\n{said}")
    assert condition(fleet, "RedisLimited", "reason") == "Memory"
    assert "maxmemory" in said
    redis(fleet, "config", "set", "maxmemory", 0)
    wait_until(lambda: condition(fleet, "RedisLimited") == "False", 60, what="it is no more")
