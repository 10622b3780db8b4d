"""kubectl and helm, as a user types them."""

from __future__ import annotations

import contextlib
import copy
import json
import secrets
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "tradecast"


class CommandFailed(AssertionError):
    """A command ended with an error; the text is what it said."""


def run(*command: str, stdin: str | None = None, within: float = 300) -> str:
    """Run a command and return its output.

    Raises:
        CommandFailed: It did not end with 0.
    """
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=within, check=False)
    if done.returncode != 0:
        raise CommandFailed(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done.stdout


def get_everywhere(kind: str) -> list[dict[str, Any]]:
    """Objects of a kind, of all namespaces."""
    items: list[dict[str, Any]] = json.loads(run("kubectl", "get", kind, "--all-namespaces", "-o", "json"))["items"]
    return items


@contextlib.contextmanager
def api_proxy() -> Iterator[str]:
    """The API server without a password, at a loopback address; `kubectl get --raw` would ask pods for JSON."""
    with subprocess.Popen(["kubectl", "proxy", "--port=0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "127.0.0.1:" in line, f"kubectl proxy said: {line!r}"
            yield f"http://127.0.0.1:{line.rsplit(':', 1)[1].strip()}"
        finally:
            process.terminate()


# What Kubernetes' restricted profile asks of a pod and of its containers.
RESTRICTED_POD = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
RESTRICTED_CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


class Namespace:
    """One namespace, with pod security `restricted` enforced."""

    def __init__(self, name: str) -> None:
        self.name = name
        manifest = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted", "type": "e2e"}},
        }
        run("kubectl", "apply", "-f", "-", stdin=json.dumps(manifest))

    def kubectl(self, *arguments: str, stdin: str | None = None, within: float = 300) -> str:
        return run("kubectl", "-n", self.name, *arguments, stdin=stdin, within=within)

    def get(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """Objects of a kind."""
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-o", "json", *arguments))["items"]
        return items

    def one(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def helm(
        self, *arguments: str, values: dict[str, Any] | None = None, program: str = "helm", within: float = 400
    ) -> str:
        """Run helm; `values` go through a file of its own, after the arguments'."""
        extra = ["-f", "-"] if values is not None else []
        stdin = None if values is None else json.dumps(values)
        return run(program, "-n", self.name, *arguments, *extra, stdin=stdin, within=within)

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(one) for one in manifests))

    def servers(self, *, ready: bool = False) -> list[dict[str, Any]]:
        """Pods of servers that are not ending; with `ready`, those that are ready."""
        pods = [
            pod
            for pod in self.get("pods", "-l", "app.kubernetes.io/component=server")
            if "deletionTimestamp" not in pod["metadata"]
        ]
        return [pod for pod in pods if is_ready(pod)] if ready else pods

    def metrics(self, api: str, pod: str) -> str | None:
        """A server's metrics in Prometheus' text; None where it does not answer.

        Args:
            api: From `api_proxy`.
            pod: Its name.
        """
        address = f"{api}/api/v1/namespaces/{self.name}/pods/{pod}:9100/proxy/metrics"
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 loopback
                return str(answer.read().decode())
        except (urllib.error.URLError, TimeoutError):
            return None

    def logs(self) -> str:
        """The end of every pod's log and the events, for a failure's report."""
        parts = []
        for pod in self.get("pods"):
            name = pod["metadata"]["name"]
            done = subprocess.run(
                ["kubectl", "-n", self.name, "logs", name, "--tail=15", "--all-containers"],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            parts.append(f"--- {name} ({pod['status'].get('phase')})\n{done.stdout}{done.stderr}")
        parts.append(self.kubectl("get", "events", "--sort-by=.lastTimestamp"))
        return "\n".join(parts)[-12_000:]

    def delete(self, *, wait: bool = False) -> None:
        """Delete it with all that is in it; with `wait`, return when nothing is left."""
        run("kubectl", "delete", "namespace", self.name, "--ignore-not-found", f"--wait={str(wait).lower()}")


class Fleet(Namespace):
    """The namespace of a fleet's release.

    Attributes:
        values: What the release has now; empty where an upgrade has failed.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.values: dict[str, Any] = {}

    def upgrade(self, values: dict[str, Any]) -> None:
        """Install the release, or give it other values, and wait until its pods are ready; nothing if it has them."""
        if values == self.values:
            return
        self.values = {}
        self.helm("upgrade", "--install", "tradecast", str(CHART), "--wait", "--timeout=180s", values=values)
        self.values = copy.deepcopy(values)


@contextlib.contextmanager
def temporary(name: str) -> Iterator[Namespace]:
    """A namespace for one test. It goes in its own time, so each has a name of its own."""
    made = Namespace(f"{name}-{secrets.token_hex(2)}")
    try:
        yield made
    finally:
        made.delete()


def is_ready(pod: dict[str, Any]) -> bool:
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in pod["status"].get("conditions", ())
    )
