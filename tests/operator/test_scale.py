"""The operator's real process with 4,000 pods: what a round costs."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from kit.kubernetes.api_server import operator, served, write_kubeconfig
from kit.kubernetes.many_pods import ManyPods, pretended_servers, real_pod
from kit.network.ports import free_ports
from kit.processes.usage import read_most_memory, read_processor_seconds
from kit.waiting import eventually

PODS = 4_000
# Bytes of memory at most, and seconds of CPU time for one round.
MOST_MEMORY = 200 * 1024 * 1024
MOST_SECONDS = 1.0


@pytest.mark.serial  # processor time grows with what else the processors do
@pytest.mark.timeout(300)
async def test_4000_pods_cost_less_than_200_mib_and_a_second_of_cpu_a_round(tmp_path: Path) -> None:
    """Each of 12 kB, at a server of its own; a list of them is 50 MB."""
    assert 8_000 < len(str(real_pod(0))) < 15_000
    port, liveness = free_ports(2)
    async with pretended_servers() as admin, httpx.AsyncClient(timeout=30) as http:
        api = ManyPods(PODS, admin)
        # A server that does not answer, as there is always one: nobody listens on this address.
        api.live[real_pod(7)["metadata"]["name"]]["status"]["podIP"] = "::1"
        async with served(api) as url:
            write_kubeconfig(tmp_path / "config", url)
            async with operator(tmp_path / "config", port, liveness, 1) as process:
                await eventually(lambda: api.rounds >= 2, 120, what="rounds")
                before, began = api.rounds, read_processor_seconds(process.pid)
                api.change_pod("DELETED", next(iter(api.live.values())))
                await eventually(lambda: api.rounds >= before + 3, 60, what="further rounds")
                done = api.rounds - before
                seconds = (read_processor_seconds(process.pid) - began) / done
                memory = read_most_memory(process.pid)
                answer = await http.get(f"http://127.0.0.1:{port}/fleets/trading/fleet/connections")
                assert answer.json() == {"connections": 7 * PODS}, "the most of the last two minutes"
                assert api.kubernetes.statuses[-1]["readyReplicas"] == PODS - 1
                metrics = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
                results = dict(re.findall(r'rounds_total\{.*result="(\w+)"\} (\S+)', metrics))
                assert float(results["ok"]) > 0
                assert (results["incomplete"], results["error"]) == ("0.0", "0.0")
                assert api.watches == 1
                assert memory < MOST_MEMORY, f"{memory / 1024 / 1024:.0f} MiB"
                assert seconds < MOST_SECONDS
