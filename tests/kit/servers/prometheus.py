"""Prometheus and promtool for tests: Debian's package `prometheus`. A server listens on a free loopback port."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.processes.parent import end_with_parent
from kit.servers.redis_server import free_port

HOW_TO_GET_PROMETHEUS = (
    "prometheus and promtool are not installed: apt-get install --no-install-recommends prometheus "
    "(scripts/install-test-tools does it without starting a service)"
)
START_WITHIN = 60.0


def find(program: str) -> str:
    """The path of `prometheus` or `promtool`; the test is skipped where there is none."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(HOW_TO_GET_PROMETHEUS)
    return found


class Prometheus:
    """One Prometheus without a past. It belongs to no event loop.

    Args:
        targets: Addresses (`127.0.0.1:9100`) and the labels that a PodMonitor would give them.
        interval: Seconds between two scrapes.
        job: The job of those whose labels have none.
        honor_labels: Whether labels that a target's own series have win over the target's.
        rules: Files of rules, evaluated as often.
    """

    def __init__(
        self,
        targets: Mapping[str, Mapping[str, str]],
        *,
        interval: int = 1,
        job: str = "tradecast",
        honor_labels: bool = False,
        rules: Sequence[Path] = (),
    ) -> None:
        self.program = find("prometheus")
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="prometheus-")
        self._process: subprocess.Popen[bytes] | None = None
        config = {
            "global": {
                "scrape_interval": f"{interval}s",
                "scrape_timeout": f"{interval}s",
                "evaluation_interval": f"{interval}s",
            },
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [
                {
                    "job_name": job,
                    "honor_labels": honor_labels,
                    "static_configs": [
                        {"targets": [target], "labels": dict(labels)} for target, labels in targets.items()
                    ],
                }
            ],
        }
        Path(self._folder.name, "config.yml").write_text(json.dumps(config))  # JSON is YAML

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it is ready.

        Raises:
            RuntimeError: It ended instead, or was not ready in time; with the end of its log.
        """
        text = ""
        for _ in range(5):
            found = self._start()
            if found is None:
                return
            text = found
            if "in use" not in text:
                break
            self.port = free_port()  # somebody took it between the look and the start
        self.close()
        raise RuntimeError(f"prometheus did not start:\n{text[-2000:]}")

    def _start(self) -> str | None:
        """Start it once; its log if that did not work."""
        folder = self._folder.name
        command = [
            *(self.program, f"--config.file={folder}/config.yml", f"--storage.tsdb.path={folder}/data"),
            *(f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"),
        ]
        log = Path(folder, "log")
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=folder, preexec_fn=end_with_parent
            )
        deadline = time.monotonic() + START_WITHIN
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5):  # noqa: S310 our own loopback address
                    return None
            except OSError:
                time.sleep(0.05)
        self._process.kill()
        self._process.wait()
        return log.read_text(errors="replace")

    def close(self) -> None:
        """End it and remove its data."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._folder.cleanup()


def ask(base_url: str, path: str, **parameters: Any) -> Any:
    """The `data` of an answer of Prometheus' HTTP API (`/api/v1/…`).

    Raises:
        ValueError: It did not take the request; with what it says.
        OSError: It was not reached.
    """
    query = urllib.parse.urlencode(parameters, doseq=True)
    try:
        with urllib.request.urlopen(f"{base_url}/api/v1/{path}?{query}", timeout=30) as answer:  # noqa: S310 a test's
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise ValueError(f"{path}: {json.load(error).get('error')}") from None


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool to its end; the test is skipped where there is none."""
    command: Sequence[str | Path] = (find("promtool"), *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def make_prometheus() -> Iterator[type[Prometheus]]:
    """`Prometheus`; all that were made with it end with the test."""
    made: list[Prometheus] = []

    class Made(Prometheus):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            made.append(self)

    yield Made
    for one in made:
        one.close()
