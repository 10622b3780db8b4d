"""How many clients one pod holds: memory and processor time of a server on kind, by number of connections.

Needs a cluster (`tests/e2e/cluster up`). Clients are those of `tradecast load` in a pod beside the server: the
cluster's port on this machine goes through a proxy that ends at some 3,300. Each watches one of five symbols, and ten
quotes a second are published, so each client gets two events a second. Prints a table for docs/sizing.md.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from e2e.conftest import MANIFESTS
from e2e.kube import CHART, RESTRICTED_CONTAINER, RESTRICTED_POD, Namespace
from kit.waiting import wait_until

COUNTS = (0, 1000, 5000, 10_000)
CROWD = "crowd"
CONNECT_RATE = 200
RATE = 10
SECONDS = 20
MEBIBYTE = 1 << 20
VALUES = {
    "mode": "production",
    "replicaCount": 1,
    "redis": {"bundled": {"enabled": False}, "existingSecret": "tradecast-redis"},
    "drain": {"delaySeconds": 0, "timeoutSeconds": 5, "shutdownSeconds": 5},
    "server": {"resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}},
}


@dataclass
class Readings:
    """What one number of clients cost."""

    clients: int
    memory: float = 0
    times: list[tuple[float, float]] = field(default_factory=list)

    @property
    def cores(self) -> float:
        """Processor seconds per second, while all were connected."""
        (begin, used_before), (end, used) = self.times[0], self.times[-1]
        return (used - used_before) / (end - begin)


def metrics(namespace: Namespace) -> dict[str, float]:
    """The server's metrics by name, summed over their labels."""
    (pod,) = namespace.servers(ready=True)
    # The API server's proxy asks for JSON.
    program = 'import urllib.request as r; print(r.urlopen("http://127.0.0.1:9100/metrics").read().decode())'
    text = namespace.kubectl("exec", pod["metadata"]["name"], "--", "python3", "-c", program)
    sums: defaultdict[str, float] = defaultdict(float)
    for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", text, re.MULTILINE):
        sums[name] += float(value)
    return dict(sums)


def restart(namespace: Namespace) -> None:
    """A server without a past: an allocator keeps what it once had."""
    namespace.kubectl("rollout", "restart", "deployment/tradecast")
    namespace.kubectl("rollout", "status", "deployment/tradecast", "--timeout=120s")
    wait_until(lambda: len(namespace.get("pods", "-l", "app.kubernetes.io/component=server")) == 1, what="one server")


def crowd(namespace: Namespace, clients: int) -> dict[str, Any]:
    """A pod with so many clients, in the servers' image."""
    image = namespace.one("deployment", "tradecast")["spec"]["template"]["spec"]["containers"][0]["image"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": CROWD},
        "spec": {
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": RESTRICTED_POD,
            "containers": [
                {
                    "name": CROWD,
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "securityContext": RESTRICTED_CONTAINER,
                    "args": [
                        "load", "--publish=redis", "--url=http://tradecast", "--allow-remote", "--json",
                        f"--clients={clients}", f"--connect-rate={CONNECT_RATE}", f"--rate={RATE}",
                        f"--duration={SECONDS}",
                    ],
                    "env": [
                        {
                            "name": "REDIS_URL",
                            "valueFrom": {"secretKeyRef": {"name": "tradecast-redis", "key": "REDIS_URL"}},
                        },
                        {"name": "SESSION_STORE", "value": "redis"},
                    ],
                }
            ],
        },
    }  # fmt: skip


def is_going(namespace: Namespace) -> bool:
    """Whether the clients are still at it. Raises SystemExit if they could not be started."""
    phase = namespace.one("pod", CROWD)["status"]["phase"]
    if phase == "Failed":
        raise SystemExit(f"the clients failed: {namespace.kubectl('logs', CROWD)[-2000:]}")
    return bool(phase != "Succeeded")


def measure(namespace: Namespace, clients: int) -> tuple[Readings, dict[str, Any]]:
    """Let so many clients connect; what the server needed, and the clients' report."""
    print(f"{clients:,} clients …", file=sys.stderr, flush=True)
    restart(namespace)
    readings = Readings(clients)
    if clients:
        namespace.apply(crowd(namespace, clients))
    while is_going(namespace) if clients else len(readings.times) < 10:
        found = metrics(namespace)
        if found.get("tradecast_connections", 0) == clients:
            readings.times.append((time.monotonic(), found["tradecast_cpu_seconds_total"]))
            readings.memory = max(readings.memory, found["tradecast_memory_rss_bytes"])
        time.sleep(1)
    if not clients:
        return readings, {}
    report = json.loads(namespace.kubectl("logs", CROWD).strip().splitlines()[-1])
    namespace.kubectl("delete", "pod", CROWD, "--wait=true")
    return readings, report


def main() -> int:
    """Measure, and print the table."""
    namespace = Namespace("sizing")
    namespace.kubectl("apply", "-f", str(MANIFESTS / "backing.yaml"))
    namespace.kubectl("rollout", "status", "deployment/redis", "--timeout=120s")
    namespace.helm("upgrade", "--install", "tradecast", str(CHART), "--wait", "--timeout=180s", values=VALUES)
    print("| clients | memory (MiB) | KiB per client | cores | events lost | p99 (ms) |")
    print("| --- | --- | --- | --- | --- | --- |")
    try:
        empty = 0.0
        for clients in COUNTS:
            readings, report = measure(namespace, clients)
            empty = empty or readings.memory
            each = f"{(readings.memory - empty) / clients / 1024:.1f}" if clients else "–"
            if report and report["losses"] + report["expected"] == 0:
                raise SystemExit(f"no events were expected: {report}")
            p99 = f"{report['delivery_ms']['p99']:.0f}" if report else "–"
            memory, cores = f"{readings.memory / MEBIBYTE:.0f}", f"{readings.cores:.2f}"
            row = (clients, memory, each, cores, report.get("losses", "–"), p99)
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
    finally:
        namespace.delete()
    return 0


if __name__ == "__main__":
    sys.exit(main())
