"""Which run-time settings are in effect, and what is reported of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest

from tradecast.config.model import NO_OTHER
from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.config.settings import load_settings
from tradecast.runtime_config.file_watcher import Content, Unreadable
from tradecast.runtime_config.manager import Outcome, RuntimeConfig, compute_revision
from tradecast.runtime_config.overrides import extract_runtime_settings

BASE = extract_runtime_settings(load_settings({"CHANNEL_LINGER": "4"}))
GOOD = b"publish_batch: 3\n"
OTHER = b"publish_batch: 9\nchannel_linger: 1\nnext_versions: 1\n"
BAD = b"publish_batch: planted\n"


class ConfigHarness:
    """A runtime configuration, what it applied, and what it reported."""

    def __init__(self, *, has_other_mode: bool = True) -> None:
        self.applied: list[RuntimeSettings] = []
        self.outcomes: list[Outcome] = []
        self.reported: list[Mapping[str, float]] = []
        self.config = RuntimeConfig(BASE, self, has_other_mode=has_other_mode)

    def tune(self, settings: RuntimeSettings) -> None:
        self.applied.append(settings)

    def adapter_file(self, result: Outcome) -> None:
        self.outcomes.append(result)

    def adapter_figures(self, figures: Mapping[str, float]) -> None:
        self.reported.append(figures)

    @property
    def looks(self) -> list[tuple[Outcome, Mapping[str, float]]]:
        """What became of each content, and what was in effect then."""
        return list(zip(self.outcomes, self.reported[1:], strict=True))


def with_figures(**figures: float) -> RuntimeSettings:
    return BASE.model_copy(update=figures)


@pytest.fixture
def bench() -> ConfigHarness:
    bench = ConfigHarness()
    bench.config.add_target(bench)
    return bench


def test_at_first_the_settings_hold(bench: ConfigHarness) -> None:
    assert bench.applied == [BASE]
    stats = bench.config.stats()
    assert stats["inForce"] == BASE.model_dump()
    assert set(stats["source"].values()) == {"settings"}
    assert (stats["revision"], stats["seen"], stats["error"], stats["unknown"]) == (None, None, None, [])


def test_what_the_file_has_wins_and_its_revision_is_reported(bench: ConfigHarness) -> None:
    bench.config.on_file_content(GOOD)
    assert bench.applied[1:] == [with_figures(publish_batch=3)]
    stats = bench.config.stats()
    assert stats["inForce"]["publish_batch"] == 3
    assert stats["source"]["publish_batch"] == "file"
    assert stats["source"]["channel_linger"] == "settings"
    assert stats["revision"] == stats["seen"] == hashlib.sha256(GOOD).hexdigest()[:16]
    bench.config.on_file_content(OTHER)
    assert bench.applied[2:] == [with_figures(publish_batch=9, channel_linger=1)]
    assert bench.config.stats()["unknown"] == ["next_versions"]


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_without_a_figure_the_settings_hold_again(bench: ConfigHarness, content: Content) -> None:
    bench.config.on_file_content(OTHER)
    bench.config.on_file_content(content)
    assert bench.applied[-1] == bench.config.settings == BASE
    stats = bench.config.stats()
    assert set(stats["source"].values()) == {"settings"}
    assert stats["revision"] == (None if content is None else compute_revision(b"" if content == b"" else b"{}"))


@pytest.mark.parametrize("content", [BAD, Unreadable("is no file")])
def test_what_is_invalid_changes_nothing_and_is_reported(bench: ConfigHarness, content: Content) -> None:
    bench.config.on_file_content(OTHER)
    before = bench.config.stats()
    bench.config.on_file_content(content)
    assert len(bench.applied) == 2
    stats = bench.config.stats()
    assert stats["error"]
    assert "planted" not in stats["error"]
    assert stats["seen"] == (compute_revision(BAD) if content == BAD else None)
    assert {**stats, "error": None, "seen": before["seen"]} == before
    assert bench.looks[-1] == ("refused", with_figures(publish_batch=9, channel_linger=1).model_dump())
    bench.config.on_file_content(OTHER)  # as it was: nothing to apply, but good again
    assert bench.config.stats() == before
    assert len(bench.applied) == 2
    assert bench.outcomes[-1:] == ["applied"]


def test_what_this_server_cannot_do_is_refused_whole() -> None:
    bench = ConfigHarness(has_other_mode=False)
    bench.config.on_file_content(b"publish_both: 1\npublish_batch: 3\n")
    assert bench.config.stats()["error"] == f"publish_both: {NO_OTHER}"
    assert bench.config.settings == BASE
    bench.config.on_file_content(b"publish_both: 0\npublish_batch: 3\n")
    assert bench.config.stats()["error"] is None
    assert bench.config.settings == with_figures(publish_batch=3)


def test_who_comes_later_gets_what_is_in_effect() -> None:
    bench = ConfigHarness()
    bench.config.on_file_content(GOOD)
    bench.config.add_target(bench)
    assert bench.applied == [with_figures(publish_batch=3)]


def test_what_is_in_effect_at_first_is_reported() -> None:
    assert ConfigHarness().reported == [BASE.model_dump()]
