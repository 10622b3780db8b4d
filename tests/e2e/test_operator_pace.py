"""Where a fleet disconnects its clients slowly: a node that must be empty sooner, and rollouts that must not go on."""

from __future__ import annotations

import bisect
import contextlib
import json
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from e2e.crowd import Crowd
from e2e.fleet_clients import CLIENTS, crowded
from e2e.kube import CHART, Fleet, api_proxy
from e2e.outside import URL, Numbers, make_sessions
from e2e.proof import everybody, finish
from e2e.socketfleet import condition, events, operated, with_operator
from kit.waiting import wait_until

RATE = 5
"""Connections per second: a server's share of the clients takes it 40 s, all of them 80 s."""
GRACE = 25
"""Seconds that the node's drain gives a pod."""
DELAY, SHUTDOWN = 3, 5
TRIAL = 45
"""Seconds for which new servers must be ready before old ones end: it is known sooner that they are bad."""
pytestmark = pytest.mark.timeout(600)


def slow(trial: int = 0) -> dict[str, Any]:
    """The fleet's values; with a trial of so many seconds."""
    values = operated(
        drain={"connectionsPerSecond": RATE, "timeoutSeconds": 120},
        rebalance={"enabled": False},
        rollout={"trial": {"seconds": trial}},
    )
    values["drain"] = {
        "delaySeconds": DELAY, "connectionsPerSecond": RATE, "timeoutSeconds": 100, "shutdownSeconds": SHUTDOWN,
    }  # fmt: skip
    return values


@pytest.fixture(scope="module")
def trials(release: Fleet) -> Iterator[None]:
    """Afterwards the Deployment's rollouts take no longer than before."""
    yield
    release.kubectl("patch", "deployment", "tradecast", "--type=merge", "-p", '{"spec": {"minReadySeconds": 0}}')


@pytest.fixture
def slow_fleet(trials: None, settled: Fleet) -> Iterator[Fleet]:
    """Two servers that disconnect few clients a second, and an operator."""
    with with_operator(settled, slow()):
        yield settled


@contextlib.contextmanager
def drain_rates(fleet: Fleet, pod: str) -> Iterator[list[float]]:
    """The rates at which a server says that its drain disconnects clients, as it changes them."""
    found: list[float] = []
    end = threading.Event()

    def follow(api: str) -> None:
        while not end.wait(0.3):
            for family in text_string_to_metric_families(fleet.metrics(api, pod) or ""):
                found.extend(sample.value for sample in family.samples if sample.name == "tradecast_drain_rate")

    with api_proxy() as api:
        thread = threading.Thread(target=follow, args=(api,), name="drain rates")
        thread.start()
        try:
            yield found
        finally:
            end.set()
            thread.join()


@contextlib.contextmanager
def closes_logged(fleet: Fleet, pod: str) -> Iterator[list[float]]:
    """When clients of a terminating server lost their connections, by the servers' logs: sorted Unix seconds.

    Those of clients of other servers, too, whose WebSockets it forwards. The list is filled at the end.
    """
    found: list[float] = []
    begun = datetime.now(UTC)
    others = [name for one in fleet.servers() if (name := one["metadata"]["name"]) != pod]
    follow = ["kubectl", "-n", fleet.name, "logs", "--follow", "--tail=1", pod]
    with tempfile.TemporaryFile("w+") as log:
        with subprocess.Popen(follow, stdout=log) as process:
            try:
                yield found
                process.wait(timeout=60)  # it ends with the pod
            finally:
                process.kill()
        log.seek(0)
        lines = [*log, *(line for other in others for line in fleet.kubectl("logs", other).splitlines())]
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    times = [datetime.fromisoformat(one["timestamp"]) for one in entries if one["event"] == "disconnected"]
    found.extend(sorted(when.timestamp() for when in times if when >= begun))


def test_a_node_is_drained_in_less_time_than_the_rate_takes(slow_fleet: Fleet) -> None:
    fleet = slow_fleet
    with crowded(fleet, 2) as crowd, Numbers() as numbers:
        # The operator stays where it is; what becomes of a fleet whose operator goes has tests of its own.
        (operator,) = fleet.get("pods", "-l", "app.kubernetes.io/component=operator")
        away = [pod for pod in fleet.servers() if pod["spec"]["nodeName"] != operator["spec"]["nodeName"]]
        assert len(away) == 1, "a server on each node"
        node, pod = away[0]["spec"]["nodeName"], away[0]["metadata"]["name"]
        begun = time.time() * 1000
        try:
            with closes_logged(fleet, pod) as closes, drain_rates(fleet, pod) as rates:
                fleet.kubectl(
                    "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s",
                    f"--grace-period={GRACE}", "--pod-selector=app.kubernetes.io/name=tradecast",
                )  # fmt: skip
        finally:
            fleet.kubectl("uncordon", node)
        report = finish("node drained in a hurry", crowd, numbers, begun)
    moved = sum(count > 0 for count in report.reconnects(begun))
    # Of the time that was left when the first was closed, the last fifth is kept.
    left = GRACE - SHUTDOWN - (min(report.lost(begun)) - begun) / 1000
    computed = moved / (0.8 * left)
    busiest = max(bisect.bisect_left(closes, start + 1) - i for i, start in enumerate(closes))
    print(
        f"{len(closes)} closed, {busiest} in the busiest second of any, by the servers' logs; "
        f"{moved} clients moved in {report.spell(begun):.1f} s; rates: {sorted(set(rates))}, at most {computed:.1f}; "
        f"closes/s: {report.busiest(1, begun)} over 1 s, {report.busiest(5, begun):.1f} over 5 s; "
        f"{'; '.join(events(fleet, 'DrainSpedUp'))}"
    )
    assert moved > CLIENTS / 4, "a node that holds half of them"
    assert moved / RATE > GRACE, "at the configured rate they would not all be gone in time"
    assert RATE < max(rates) <= computed * 1.5
    # One in each slot, at a random place in it, so one more may fall into a second. The other server hears of those
    # whose WebSockets the terminating one forwards; where it was held up, it hears of several at once.
    assert abs(len(closes) - moved) <= 0.05 * moved
    assert busiest <= max(rates) * 1.25 + 2
    # Clients hear of it in clumps on a shared machine.
    assert report.busiest(5, begun) <= max(rates) * 1.3
    assert report.spell(begun) < GRACE
    assert max(report.reconnects(begun)) == 1
    assert events(fleet, "DrainSpedUp")


# What is wrong with a revision: values of the chart, and what new servers are worse by.
WRONG: Sequence[tuple[str, dict[str, Any], str]] = (
    # Nobody listens there, so that it is known at once.
    ("an image that is not there", {"image": {"registry": "127.0.0.1:1"}}, "ErrImagePull|ImagePullBackOff"),
    # Sessions cannot be read: connects fail by the server's fault, though the server is ready.
    ("a session store that does not answer", {"mongodb": {"existingSecret": "wrong-mongodb"}}, "connects failed"),
)


@pytest.mark.parametrize(("what", "change", "said"), WRONG, ids=("image", "connects"))
def test_a_bad_revision_gets_nobody_for_good(slow_fleet: Fleet, what: str, change: dict[str, Any], said: str) -> None:
    fleet = slow_fleet
    fleet.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "wrong-mongodb"},
            "stringData": {"MONGODB_URI": "mongodb://redis:27017/tradecast?directConnection=true"},
        }
    )
    good = {pod["metadata"]["name"] for pod in fleet.servers()}
    with crowded(fleet, 2) as crowd, Crowd(URL) as newcomers, Numbers() as numbers:
        begun = time.time() * 1000
        fleet.helm("upgrade", "tradecast", str(CHART), values={**slow(TRIAL), **change})
        newcomers.add(make_sessions(CLIENTS // 10), per_second=4)
        wait_until(lambda: is_held(fleet), 120, what="the operator holds the rollout")
        why = condition(fleet, "RolloutHeld", "message")
        assert why in events(fleet, "RolloutHeld")
        # Nobody stays with a server that cannot serve: not those who came, and not those who were moved to see it.
        came = everybody(newcomers)
        everybody(crowd)
        assert fleet.one("deployment", "tradecast")["spec"]["minReadySeconds"] > 10**9
        assert good <= {pod["metadata"]["name"] for pod in fleet.servers(ready=True)}
        fleet.helm("rollback", "tradecast", "--wait", "--timeout=120s")
        wait_until(lambda: not is_held(fleet), what="nothing is held any more")
        wait_until(lambda: {pod["metadata"]["name"] for pod in fleet.servers()} == good, what="the old servers stay")
        wait_until(
            lambda: fleet.one("deployment", "tradecast")["spec"].get("minReadySeconds") == TRIAL,
            what="minReadySeconds is as before",
        )
        report = finish(what, crowd, numbers, begun)
    print(f"newcomers: {came.summary()}; {why}")
    assert re.search(said, why)
    assert "helm rollback tradecast" in why
    assert came.final == 0
    # At most a sample of the clients was moved.
    assert sum(count > 0 for count in report.reconnects(begun)) <= CLIENTS / 10


def is_held(fleet: Fleet) -> bool:
    return condition(fleet, "RolloutHeld") == "True"
