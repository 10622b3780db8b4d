"""How many tests run at once (`-n auto`), and those that nothing may run beside: marked `serial`.

Tests that measure time or memory, or attack a server, are `serial`. A worker of pytest-xdist has others beside it, so
it leaves them out; `pytest --serial` runs them, and no others. `scripts/test` does one after the other. A plain
`pytest` runs everything one by one anyway.
"""

from __future__ import annotations

import os

import pytest

MOST = 16
"""Each worker starts servers of its own, a Redis and a MongoDB among them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--serial", action="store_true", help="run the tests marked `serial` only; not with -n")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--serial") and (_workers(config) or _is_worker(config)):
        raise pytest.UsageError("--serial is for tests that nothing may run beside: leave out -n")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """WORKERS, else two for each processor: a test waits more than it computes."""
    return int(os.environ.get("WORKERS") or min(MOST, 2 * (os.cpu_count() or 1)))


def pytest_report_header(config: pytest.Config) -> str | None:
    if _workers(config):
        return "tests marked `serial` are left out, since nothing may run beside them: pytest --serial"
    return None


@pytest.hookimpl(trylast=True)  # after -k and -m have chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    only = bool(config.getoption("--serial"))
    if not only and not _is_worker(config):
        return
    chosen = [item for item in items if (item.get_closest_marker("serial") is not None) is only]
    left_out = [item for item in items if (item.get_closest_marker("serial") is not None) is not only]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = chosen


def _workers(config: pytest.Config) -> bool:
    return bool(config.getoption("numprocesses", default=None))


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")
