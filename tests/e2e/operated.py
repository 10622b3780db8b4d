"""A namespace with pretended servers, a SocketFleet, and the operator's real process with the chart's own rights."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from e2e.gate import Gate, gate
from e2e.kube import CHART, Namespace, api_proxy, run
from e2e.pretended import TOKEN, SimulatedServer, SimulatedServers, deployment, pretended
from kit.network.ports import free_ports
from kit.waiting import eventually

ROUND = 0.3
# Seconds after which the operator has seen what there is; its fleets' metric.staleSeconds and a round.
SEEN_LATE = 4.0
STALLED = 4
OPERATOR = Path(sys.executable).with_name("tradecast-operator")
SECRET = "tradecast-admin"
# As the chart names both: what its Role allows is bound to names.
FLEET = "tradecast"


class Operator:
    """One process of the operator.

    Attributes:
        token: By which the API server knows it.
        url: Its port for the autoscaler and Prometheus.
        liveness: Its port for the kubelet.
        log: What it has written.
    """

    def __init__(self, namespace: Namespace, way: Gate, folder: Path, name: str) -> None:
        self.token = namespace.kubectl("create", "token", "tradecast-operator").strip()
        self.log = folder / f"{name}.log"
        kubeconfig = folder / f"{name}.kubeconfig"
        kubeconfig.write_text(json.dumps(_kubeconfig(way.url, self.token)), encoding="utf-8")
        self._ports = free_ports(2)
        self.url = f"http://127.0.0.1:{self._ports[0]}"
        self.liveness = f"http://127.0.0.1:{self._ports[1]}/healthz"
        self._process: asyncio.subprocess.Process | None = None
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "KUBECONFIG": str(kubeconfig),
            "WATCH_NAMESPACES": namespace.name,
            "ROUND_SECONDS": str(ROUND),
            "HOST": "127.0.0.1",
            "PORT": str(self._ports[0]),
            "LIVENESS_PORT": str(self._ports[1]),
            "STALLED_SECONDS": str(STALLED),
            "POD_NAME": name,
        }

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                str(OPERATOR), env=self._environment, stdout=log, stderr=log
            )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def send(self, how: signal.Signals) -> None:
        """Send a signal, if it is there."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(how)

    async def end(self, how: signal.Signals = signal.SIGKILL) -> int | None:
        """End it at once, or with SIGTERM in its own time; its exit code."""
        self.send(how)
        if self._process is None:
            return None
        async with asyncio.timeout(20):
            return await self._process.wait()

    def written(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""


class Operated:
    """What a test works with.

    Attributes:
        namespace: As kubectl sees it.
        servers: What stands for the fleet's servers.
        gate: The operator's way to the API server.
        operator: The operator's process.
        told: How many times the autoscaler would have been told a number.
        too_low: What it was told that was lower than the connections.
    """

    def __init__(
        self, namespace: Namespace, servers: SimulatedServers, way: Gate, api: httpx.AsyncClient, folder: Path
    ) -> None:
        self.namespace = namespace
        self.servers = servers
        self.gate = way
        self.api = api
        self._folder = folder
        self._operators: list[Operator] = []
        self.operator = self.another("operator")
        self.told = 0
        self.too_low: list[str] = []

    def another(self, name: str) -> Operator:
        """A process of the operator with a token of its own; it is not started."""
        made = Operator(self.namespace, self.gate, self._folder, name)
        self._operators.append(made)
        return made

    async def bind(self, server: SimulatedServer) -> None:
        """Give its pod a node, which is not there."""
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": server.name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "nowhere"},
        }
        answer = await self.api.post(
            f"/api/v1/namespaces/{self.namespace.name}/pods/{server.name}/binding", json=binding
        )
        assert answer.status_code == 201, answer.text

    async def let_go(self) -> None:
        """No pod whose end a kubelet would have to tell keeps the namespace, however the test ended."""
        with contextlib.suppress(AssertionError, httpx.TransportError):
            for pod in await self.pods():
                if pod["spec"].get("nodeName"):
                    await self.kubectl("delete", "pod", pod["metadata"]["name"], "--force", "--grace-period=0")

    async def free(self) -> None:
        """Nobody has the fleet's Lease any more, as if its time were over."""
        await self.kubectl("delete", "lease", "--all")

    async def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return await asyncio.to_thread(self.namespace.kubectl, *arguments, stdin=stdin)

    async def apply(self, *manifests: dict[str, Any]) -> None:
        await asyncio.to_thread(self.namespace.apply, *manifests)

    async def scale(self, replicas: int) -> None:
        """As a person does it, or an autoscaler."""
        await self.kubectl("scale", f"sf/{FLEET}", f"--replicas={replicas}")

    async def patch(self, kind: str, name: str, body: dict[str, Any]) -> None:
        await self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(body))

    async def fleet(self) -> dict[str, Any]:
        return await self._get(f"/apis/tradecast.dev/v1alpha1/namespaces/{self.namespace.name}/socketfleets/{FLEET}")

    async def deployment(self) -> dict[str, Any]:
        return await self._get(f"/apis/apps/v1/namespaces/{self.namespace.name}/deployments/tradecast")

    async def replicas(self) -> int:
        return int((await self.deployment())["spec"]["replicas"])

    async def pods(self) -> Sequence[dict[str, Any]]:
        listed = await self._get(f"/api/v1/namespaces/{self.namespace.name}/pods")
        return list(listed["items"])

    async def marked(self) -> Sequence[str]:
        """Pods that have any mark of the operator's."""
        return [
            pod["metadata"]["name"]
            for pod in await self.pods()
            if "tradecast.dev/" in json.dumps([pod["metadata"].get("annotations"), pod["metadata"]["labels"]])
            or "pod-deletion-cost" in json.dumps(pod["metadata"].get("annotations"))
        ]

    async def condition(self, kind: str) -> dict[str, Any]:
        """One of the fleet's conditions; empty where it is not there."""
        found = (await self.fleet()).get("status", {}).get("conditions", [])
        return next((dict(one) for one in found if one["type"] == kind), {})

    async def events(self, *reasons: str) -> Sequence[str]:
        """Messages of the events, in the order in which they were written."""
        listed = await self._get(f"/api/v1/namespaces/{self.namespace.name}/events")
        found = sorted(listed["items"], key=lambda one: int(one["metadata"]["resourceVersion"]))
        return [one["message"] for one in found if one["reason"] in reasons]

    async def connections(self, operator: Operator | None = None) -> int | None:
        """What the autoscaler is told; None where it is an error, or nobody answers."""
        url = (operator or self.operator).url
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.get(f"{url}/fleets/{self.namespace.name}/{FLEET}/connections")
        except httpx.TransportError:
            return None
        return int(answer.json()["connections"]) if answer.status_code == 200 else None

    async def alive(self) -> int:
        """The status that the kubelet would get; 0 without one."""
        try:
            async with httpx.AsyncClient(trust_env=False) as client:
                return (await client.get(self.operator.liveness)).status_code
        except httpx.TransportError:
            return 0

    async def settled(self, count: int, within: float = 60) -> None:
        """So many servers, asked for and there, and none marked."""

        async def is_so() -> bool:
            asked = await self.replicas()
            return asked == count == len(self.servers.running) and not await self.marked()

        await eventually(is_so, within, what=f"{count} servers and no mark")

    async def make_fleet(self, **spec: Any) -> None:
        manifest = {
            "apiVersion": "tradecast.dev/v1alpha1",
            "kind": "SocketFleet",
            "metadata": {"name": FLEET},
            "spec": {
                "deployment": "tradecast",
                "minReplicas": 1,
                "maxReplicas": 500,
                "admin": {"port": self.servers.port, "tokenSecret": {"name": SECRET}},
                "rebalance": {"enabled": False},
                "rollout": {"trial": {"seconds": 0}},  # rollouts take as long as they need
                "metric": {"holdSeconds": 60, "staleSeconds": 3},
                **spec,
            },
        }
        await self.apply(manifest)

    async def make_token(self, token: str = TOKEN, *, consents: bool = True) -> None:
        """The Secret, with the label by which it consents, or without."""
        labels = {"tradecast.dev/admin-token": "true"} if consents else {}
        await self.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": SECRET, "labels": labels},
                "stringData": {"ADMIN_TOKEN": token},
            }
        )

    async def load(self, *clients: int) -> Sequence[SimulatedServer]:
        """Wait for as many servers, and put so many clients on each; the servers in that order."""
        await eventually(lambda: len(self.servers.running) == len(clients), what=f"{len(clients)} servers")
        self.servers.load(*clients)
        await eventually(lambda: self._all_ready(len(clients)), what="all are ready")
        return sorted(self.servers.running, key=lambda one: one.name)

    async def _all_ready(self, count: int) -> bool:
        return int((await self.deployment()).get("status", {}).get("readyReplicas", 0)) == count

    async def _get(self, path: str) -> dict[str, Any]:
        answer = await self.api.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        found: dict[str, Any] = answer.json()
        return found

    async def compare(self) -> None:
        """For ever: what the autoscaler is told against what there has been in the last seconds."""
        totals: list[tuple[float, int]] = []
        while True:
            now = time.monotonic()
            totals = [one for one in totals if one[0] > now - SEEN_LATE]
            for operator in self._operators:
                told = await self.connections(operator)
                totals.append((now, self.servers.total))
                if told is not None:
                    self.told += 1
                    if told < min(count for _, count in totals):
                        self.too_low.append(f"{told} told, there were {[count for _, count in totals]}")
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        for one in self._operators:
            await one.end()

    def logs(self) -> str:
        return "\n".join(f"--- {one.log.stem}\n{one.written()[-6000:]}" for one in self._operators)


@contextlib.asynccontextmanager
async def operated(name: str, *clients: int, lasts: bool = True, **spec: Any) -> AsyncIterator[Operated]:
    """A fleet with so many clients on each server; the operator is running unless there are none of them.

    Args:
        name: Of the namespace, after `operated-`.
        clients: On each server.
        lasts: Whether the namespace does, and the operator's rights with it.
        spec: Of the SocketFleet, besides what finds the servers.

    Two things fail the test in any case: a request that the API server forbids the operator, and a number for the
    autoscaler that is lower than the connections.
    """
    namespace = await asyncio.to_thread(Namespace, f"operated-{name}-{secrets.token_hex(2)}")
    with api_proxy() as proxy, tempfile.TemporaryDirectory() as folder:
        async with (
            httpx.AsyncClient(base_url=proxy, trust_env=False, timeout=30) as api,
            pretended(namespace.name, api) as servers,
            gate() as way,
        ):
            await asyncio.to_thread(_rights, namespace)
            bench = Operated(namespace, servers, way, api, Path(folder))
            comparing: asyncio.Task[None] | None = None
            try:
                await bench.make_token()
                if clients:
                    await bench.apply(deployment(len(clients)))
                    await bench.make_fleet(**spec)
                    await bench.load(*clients)
                    await bench.operator.start()
                    await eventually(lambda: _is_seen(bench), within=120, what="it is looked after")
                comparing = asyncio.create_task(bench.compare())
                yield bench
                assert not comparing.done(), comparing.exception()
                assert not bench.too_low, bench.too_low
                assert not (lasts and way.forbidden), f"the operator's rights do not allow: {way.forbidden}"
            except BaseException:
                print(bench.logs())
                raise
            finally:
                if comparing is not None:
                    comparing.cancel()
                    await asyncio.gather(comparing, return_exceptions=True)
                await bench.close()
                await bench.let_go()
                await asyncio.to_thread(
                    run, "kubectl", "delete", "namespace", namespace.name, "--wait=false", "--ignore-not-found"
                )


async def _is_seen(bench: Operated) -> bool:
    assert bench.operator.running, "the operator has ended"
    return (await bench.condition("Available")).get("status") == "True" and await bench.connections() is not None


def _rights(namespace: Namespace) -> None:
    """The chart's own ServiceAccount and Role, and its CRD."""
    run("kubectl", "apply", "--server-side", "--force-conflicts", "--field-manager=helm", "-f", str(CHART / "crds"))
    arguments = ["template", "tradecast", str(CHART), "-s", "templates/operator/rbac.yaml"]
    rendered = namespace.helm(*arguments, values={"operator": {"enabled": True, "aggregateClusterRoles": False}})
    namespace.kubectl("apply", "-f", "-", stdin=rendered)


def _kubeconfig(server: str, token: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "operator",
        "contexts": [{"name": "operator", "context": {"cluster": "operator", "user": "operator"}}],
        "clusters": [{"name": "operator", "cluster": {"server": server}}],
        "users": [{"name": "operator", "user": {"token": token}}],
    }
