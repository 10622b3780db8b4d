"""Polling without session affinity: requests land on every server of the fleet, and clients notice nothing of that."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from e2e.conftest import VALUES, own_fleet
from e2e.crowd import Crowd
from e2e.kube import Fleet, Namespace, api_proxy
from e2e.outside import POLLED, Numbers, make_sessions
from e2e.proof import everybody, finish
from kit.waiting import wait_until

EACH = 40
"""Clients that poll for good, and as many that upgrade to WebSocket."""
SERVERS = 3
Readings = dict[str, Counter[tuple[str, str]]]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def three() -> Iterator[Fleet]:
    """A fleet of its own with three servers."""
    with own_fleet("polled", POLLED, {**VALUES, "replicaCount": SERVERS}) as fleet:
        yield fleet


class Forwarded:
    """Reads how many requests each server has passed on to others."""

    def __init__(self, fleet: Namespace, api: str) -> None:
        self.fleet = fleet
        self._api = api
        self.last: Readings = {}

    def read(self) -> Readings:
        """By server, then by transport and result; of servers that have gone since, what was read last."""
        self.read_living()
        return dict(self.last)

    def read_living(self) -> list[str]:
        """Read, and return the names of all servers that are there."""
        pods = [pod["metadata"]["name"] for pod in self.fleet.get("pods", "-l", "app.kubernetes.io/component=server")]
        for name in pods:
            text = self.fleet.metrics(self._api, name)
            if text is not None:
                self.last[name] = Counter(
                    {
                        (sample.labels["transport"], sample.labels["result"]): int(sample.value)
                        for family in text_string_to_metric_families(text)
                        for sample in family.samples
                        if sample.name == "tradecast_forwarded_requests_total"
                    }
                )
        return pods


def total(found: Readings) -> Counter[tuple[str, str]]:
    return sum(found.values(), Counter[tuple[str, str]]())


def test_polling_clients_lose_nothing_though_each_request_lands_anywhere(three: Fleet) -> None:
    fleet = three
    assert fleet.one("service", "tradecast")["spec"]["sessionAffinity"] == "None"
    with Crowd(POLLED.url) as crowd, api_proxy() as api:
        forwarded = Forwarded(fleet, api)
        # Node's client makes a new connection for each poll, and kube-proxy sends each connection to any server.
        # Clients come one by one, as kube-proxy may know of a ready server later than the tests.
        sessions = make_sessions(2 * EACH, POLLED)
        crowd.add(sessions[EACH:], per_second=30)  # as `io(url)` does: polling first, then an upgrade
        crowd.add(sessions[:EACH], per_second=30, transports=["polling"])
        everybody(crowd)
        begun = time.time() * 1000
        with Numbers(ports=POLLED) as numbers:
            steady("before the update", crowd, numbers, forwarded)
            assert sum(crowd.report().reconnects(begun)) == 0

            old = names(fleet)
            fleet.upgrade({**fleet.values, "accept": {"burst": 998}})
            assert fleet.one("configmap", "tradecast")["data"]["ACCEPT_BURST"] == "998"
            gone(old, forwarded)
            updated = everybody(crowd)
            print(f"updated: {updated.summary(since=begun)}; passed on: {show(total(forwarded.last))}")
            assert min(updated.reconnects(begun)) >= 1
            assert max(updated.reconnects(begun)) <= 2

            assert len({pod["spec"]["nodeName"] for pod in fleet.servers(ready=True)}) > 1
            steady("after the update", crowd, numbers, forwarded)
            assert crowd.report().reconnects(begun) == updated.reconnects(begun)

            # One server leaves for good.
            before = names(fleet)
            fleet.kubectl("scale", "deployment/tradecast", "--replicas=2")
            wait_until(lambda: len(names(fleet)) == 2, what="a server ends")
            gone(before - names(fleet), forwarded)
            report = finish("polling", crowd, numbers, begun)
    assert max(report.reconnects(begun)) <= 3
    print(f"passed on: {show(total(forwarded.last))}")
    # A server may end in the moment in which it is asked; its client was told before, or learns it by this.
    assert {result for _, result in +total(forwarded.last)} <= {"answered", "unknown", "unreachable", "aborted"}


def names(fleet: Namespace) -> set[str]:
    return {pod["metadata"]["name"] for pod in fleet.servers()}


def gone(servers: set[str], forwarded: Forwarded) -> None:
    """Wait until these servers are there no more; read what all of them pass on as long as they are."""
    wait_until(lambda: not servers & set(forwarded.read_living()), within=180, what="servers have gone")


def steady(name: str, crowd: Crowd, numbers: Numbers, forwarded: Forwarded) -> None:
    """Events flow. Every server is asked for other servers' clients, passes that on, and gets the answer."""
    wait_until(lambda: crowd.report().transports == {"polling": EACH, "websocket": EACH}, what="clients have upgraded")
    servers, before, count = names(forwarded.fleet), forwarded.read(), len(numbers.accepted)
    wait_until(lambda: len(numbers.accepted) > count + 20, what="events flow")
    after = forwarded.read()
    found = {server: after[server] - before[server] for server in servers}
    print(f"\n{name}: passed on: {', '.join(show(counts) for counts in found.values())}")
    assert len(servers) == SERVERS
    assert min(counts["polling", "answered"] for counts in found.values()) > 0
    assert total(found)["polling", "answered"] > 5 * EACH
    assert {result for _, result in total(found)} == {"answered"}
    # Each upgrade was a WebSocket that landed somewhere, two of three times elsewhere.
    assert sum(after[server]["websocket", "answered"] for server in servers) > 0


def show(counts: Counter[tuple[str, str]]) -> str:
    return str({" ".join(key): count for key, count in counts.items() if count})
