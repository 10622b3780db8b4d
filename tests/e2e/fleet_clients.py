"""A fleet of an operator with a crowd of clients, and how many each server has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from e2e.crowd import Crowd
from e2e.kube import Namespace, api_proxy
from e2e.outside import URL, make_sessions
from e2e.proof import everybody
from e2e.socketfleet import replicas
from kit.waiting import wait_until

CLIENTS = 400


@contextlib.contextmanager
def crowded(fleet: Namespace, servers: int) -> Iterator[Crowd]:
    """So many servers, with clients on all of them."""
    fleet.kubectl("scale", "socketfleet/tradecast", f"--replicas={servers}")
    wait_until(lambda: len(fleet.servers(ready=True)) == replicas(fleet) == servers, 180, what=f"{servers} servers")
    with Crowd(URL) as crowd:
        crowd.add(make_sessions(CLIENTS), per_second=100)
        everybody(crowd)
        yield crowd


def connections(fleet: Namespace) -> dict[str, int]:
    """Of each ready server, by its own metrics."""
    found = {}
    with api_proxy() as api:
        for pod in fleet.servers(ready=True):
            name = pod["metadata"]["name"]
            text = fleet.metrics(api, name) or ""
            lines = [
                line
                for line in text.splitlines()
                if line.startswith(("tradecast_connections{", "tradecast_connections "))
            ]
            found[name] = round(sum(float(line.rpartition(" ")[2]) for line in lines))
    return found


def spread(fleet: Namespace) -> float:
    counts = connections(fleet).values()
    return max(counts) * len(counts) / sum(counts)
