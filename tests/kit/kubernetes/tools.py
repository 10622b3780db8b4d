"""Command-line tools of Kubernetes: from PATH, or as `make -C tests/e2e/offline static` built them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

OFFLINE = Path(__file__).parents[2] / "e2e" / "offline"
# Where a program is in the cache, by the name of its version.
HOMES = {
    "helm": "helm-{HELM}",
    "helm3": "helm3-{HELM3}",
    "helm-unittest": "helm-unittest-{HELM_UNITTEST}",
    "kubeconform": "kubeconform-{KUBECONFORM}",
    "kubectl": "kubernetes-{KUBERNETES}",
    "kind": "kind-{KIND}",
    "skaffold": "skaffold-{SKAFFOLD}",
}


def cache() -> Path:
    """The folder of what was built."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "tradecast")
    return Path(os.environ.get("TRADECAST_CACHE") or default)


def versions() -> dict[str, str]:
    """tests/e2e/versions.env, without `_VERSION` at the names' ends."""
    text = (OFFLINE.parent / "versions.env").read_text(encoding="utf-8")
    return dict(re.findall(r"^(\w+)_VERSION=(\S+)$", text, re.MULTILINE))


def find(program: str) -> str:
    """The path of a program, of our version where it was built; the test is skipped where there is none."""
    built = cache() / "bin" / HOMES[program].format(**versions()) / program
    found = str(built) if built.exists() else shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed: make -C tests/e2e/offline static (needs Go)")
    return found


def run(program: str, *arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever that is."""
    command = [find(program), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)


def schemas() -> Path:
    """The folder of JSON schemas for kubeconform; the test is skipped where they were not written."""
    version = versions()
    names = ("KUBERNETES", "KEDA", "PROMETHEUS_OPERATOR", "GATEWAY_API")
    found = cache() / "-".join(["schemas", *(version[name] for name in names)])
    if not found.exists():
        pytest.skip("no schemas for kubeconform: make -C tests/e2e/offline static (needs Go)")
    return found
