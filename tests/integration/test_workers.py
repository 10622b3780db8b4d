"""What is marked `serial` has nothing beside it, and everything else runs at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.pytest_plugins.workers import pytest_xdist_auto_num_workers

pytest_plugins = ["pytester"]
TESTS = """
    import pytest

    def test_any(): pass

    @pytest.mark.serial
    def test_alone(): pass
"""


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        ((), {"test_any", "test_alone"}),
        (("-n", "2"), {"test_any"}),
        (("-n", "0"), {"test_any", "test_alone"}),
        (("--serial",), {"test_alone"}),
    ],
)
def test_which_tests_run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], ran: set[str]
) -> None:
    assert _run(pytester, monkeypatch, *arguments) == (0, ran)


def test_serial_tests_do_not_run_at_once(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(pytester, monkeypatch, "--serial", "-n", "2") == (pytest.ExitCode.USAGE_ERROR, set())


def _run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, set[str]]:
    """The exit status, and the names of the tests that passed."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeini("[pytest]\nmarkers = serial: nothing runs beside it")
    pytester.makepyfile(test_some=TESTS)
    done = pytester.runpytest_subprocess("-p", "kit.pytest_plugins.workers", "-rA", *arguments, timeout=60)
    told = [line.split() for line in done.outlines]
    return int(done.ret), {words[1].partition("::")[2] for words in told if words[:1] == ["PASSED"]}


def test_how_many_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.delenv("WORKERS", raising=False)
    assert pytest_xdist_auto_num_workers() == 4
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert pytest_xdist_auto_num_workers() == 16
    monkeypatch.setenv("WORKERS", "3")
    assert pytest_xdist_auto_num_workers() == 3
