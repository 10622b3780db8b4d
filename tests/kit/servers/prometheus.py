"""Prometheus and promtool for tests: Debian's package `prometheus`. A server listens on a free loopback port."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.processes.service import ServiceProcess

HOW_TO_GET_PROMETHEUS = (
    "prometheus and promtool are not installed: apt-get install --no-install-recommends prometheus "
    "(scripts/install-test-tools does it without starting a service)"
)


def find(program: str) -> str:
    """The path of `prometheus` or `promtool`; the test is skipped where there is none."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(HOW_TO_GET_PROMETHEUS)
    return found


class Prometheus(ServiceProcess):
    """One Prometheus without a past.

    Args:
        targets: Addresses (`127.0.0.1:9100`) and the labels that a PodMonitor would give them.
        interval: Seconds between two scrapes.
        job: The job of those whose labels have none.
        honor_labels: Whether labels that a target's own series have win over the target's.
        rules: Files of rules, evaluated as often.
    """

    start_within = 60.0
    poll_every = 0.05

    def __init__(
        self,
        targets: Mapping[str, Mapping[str, str]],
        *,
        interval: int = 1,
        job: str = "tradecast",
        honor_labels: bool = False,
        rules: Sequence[Path] = (),
    ) -> None:
        super().__init__(find("prometheus"))
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
        (self.folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [
            *(self.program, f"--config.file={self.folder}/config.yml", f"--storage.tsdb.path={self.folder}/data"),
            *(f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"),
        ]

    def answers(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5):  # noqa: S310 our own loopback address
            return True


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
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


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
