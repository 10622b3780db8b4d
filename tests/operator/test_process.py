"""The operator's real process, kopf and kr8s included, against an API server in memory; tests/e2e has a real one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from kit.kubernetes.api_server import ApiServer, operator, served, write_kubeconfig
from kit.network.ports import free_ports
from kit.waiting import eventually


@pytest.fixture
async def api() -> AsyncIterator[tuple[ApiServer, str]]:
    """The API server and its URL."""
    server = ApiServer()
    async with served(server) as url:
        yield server, url


async def test_it_scales_wakes_up_lets_go_and_ends(api: tuple[ApiServer, str], tmp_path: Path) -> None:
    server, url = api
    kubernetes = server.kubernetes
    port, liveness = free_ports(2)
    write_kubeconfig(tmp_path / "config", url)
    async with operator(tmp_path / "config", port, liveness) as process, httpx.AsyncClient(timeout=30) as http:
        await eventually(lambda: kubernetes.replicas == 3 and kubernetes.statuses, 60, what="the first round")
        assert [event["reason"] for event in kubernetes.events] == ["ScaledUp"]
        assert kubernetes.leases["fleet-operator"]["spec"]["holderIdentity"]
        assert (await http.get(f"http://127.0.0.1:{port}/ready")).status_code == 200
        assert (await http.get(f"http://127.0.0.1:{liveness}/healthz")).status_code == 200
        server.change("MODIFIED", replicas=5)
        await eventually(lambda: kubernetes.replicas == 5, 20, what="a round at once")
        server.change("DELETED")
        await eventually(lambda: not kubernetes.leases["fleet-operator"]["spec"]["holderIdentity"], 20)
        metrics = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
        assert not re.search(r"^tradecast_operator_\w+\{", metrics, re.MULTILINE)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    # No finalizer, nor anything else of kopf's.
    assert not [path for path in server.patches if path.endswith("/socketfleets/fleet")]


async def test_a_namespace_that_may_not_be_watched_stops_no_fleet_of_another(
    api: tuple[ApiServer, str], tmp_path: Path
) -> None:
    """Somebody has deleted it, and its Role with it."""
    server, url = api
    port, liveness = free_ports(2)
    write_kubeconfig(tmp_path / "config", url)
    namespaces = "forbidden,trading"
    async with (
        operator(tmp_path / "config", port, liveness, namespaces=namespaces) as process,
        httpx.AsyncClient(timeout=30) as http,
    ):
        await eventually(lambda: server.kubernetes.replicas == 3 and server.kubernetes.statuses, 60, what="a round")
        await eventually(lambda: server.refused >= 3, 60, what="further attempts")
        assert process.returncode is None
        assert (await http.get(f"http://127.0.0.1:{liveness}/healthz")).status_code == 200
        server.change("MODIFIED", replicas=5)
        await eventually(lambda: server.kubernetes.replicas == 5, 20, what="a round at once")
