"""Which figures are in force, and what is told of them."""

from __future__ import annotations

import hashlib

import pytest

from tradecast.config.settings import load_settings
from tradecast.runtime_config.file_watcher import Content, Unreadable
from tradecast.runtime_config.manager import Outcome, Tuner, revision_of
from tradecast.runtime_config.tuning import Tuning, TuningError, of_settings

BASE = of_settings(load_settings({"CHANNEL_LINGER": "4"}))
GOOD = b"publish_batch: 3\n"
OTHER = b"publish_batch: 9\nchannel_linger: 1\nnext_versions: 1\n"
BAD = b"publish_batch: planted\n"


class Bench:
    """A tuner, what it applied, and what it told."""

    def __init__(self) -> None:
        self.applied: list[Tuning] = []
        self.looks: list[tuple[Outcome, Tuning]] = []
        self.tuner = Tuner(BASE, lambda outcome, tuning: self.looks.append((outcome, tuning)))
        self.tuner.apply_to(self.applied.append)


def with_figures(**figures: float) -> Tuning:
    return BASE.model_copy(update=figures)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_at_first_the_settings_hold(bench: Bench) -> None:
    assert bench.applied == [BASE]
    stats = bench.tuner.stats()
    assert stats["inForce"] == BASE.model_dump()
    assert set(stats["source"].values()) == {"settings"}
    assert (stats["revision"], stats["seen"], stats["error"], stats["unknown"]) == (None, None, None, [])


def test_what_the_file_has_wins_and_its_revision_is_told(bench: Bench) -> None:
    bench.tuner.take(GOOD)
    assert bench.applied[1:] == [with_figures(publish_batch=3)]
    stats = bench.tuner.stats()
    assert stats["inForce"]["publish_batch"] == 3
    assert stats["source"]["publish_batch"] == "file"
    assert stats["source"]["channel_linger"] == "settings"
    assert stats["revision"] == stats["seen"] == hashlib.sha256(GOOD).hexdigest()[:16]
    bench.tuner.take(OTHER)
    assert bench.applied[2:] == [with_figures(publish_batch=9, channel_linger=1)]
    assert bench.tuner.stats()["unknown"] == ["next_versions"]


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_without_a_figure_the_settings_hold_again(bench: Bench, content: Content) -> None:
    bench.tuner.take(OTHER)
    bench.tuner.take(content)
    assert bench.applied[-1] == bench.tuner.tuning == BASE
    stats = bench.tuner.stats()
    assert set(stats["source"].values()) == {"settings"}
    assert stats["revision"] == (None if content is None else revision_of(b"" if content == b"" else b"{}"))


@pytest.mark.parametrize("content", [BAD, Unreadable("is no file")])
def test_what_makes_no_sense_changes_nothing_and_is_told(bench: Bench, content: Content) -> None:
    bench.tuner.take(OTHER)
    before = bench.tuner.stats()
    bench.tuner.take(content)
    assert len(bench.applied) == 2
    stats = bench.tuner.stats()
    assert stats["error"]
    assert "planted" not in stats["error"]
    assert stats["seen"] == (revision_of(BAD) if content == BAD else None)
    assert {**stats, "error": None, "seen": before["seen"]} == before
    assert bench.looks[-1] == ("refused", with_figures(publish_batch=9, channel_linger=1))
    bench.tuner.take(OTHER)  # as it was: nothing to apply, but good again
    assert bench.tuner.stats() == before
    assert len(bench.applied) == 2
    assert bench.looks[-1][0] == "applied"


def test_what_this_server_cannot_do_is_refused_whole() -> None:
    def check(tuning: Tuning) -> None:
        if tuning.publish_both:
            raise TuningError("publish_both: not here")

    tuner = Tuner(BASE, check=check)
    tuner.take(b"publish_both: 1\npublish_batch: 3\n")
    assert tuner.stats()["error"] == "publish_both: not here"
    assert tuner.tuning == BASE
    tuner.take(b"publish_both: 0\npublish_batch: 3\n")
    assert tuner.stats()["error"] is None
    assert tuner.tuning == with_figures(publish_batch=3)


def test_who_comes_later_gets_what_is_in_force() -> None:
    tuner = Tuner(BASE)
    tuner.take(GOOD)
    applied: list[Tuning] = []
    tuner.apply_to(applied.append)
    assert applied == [with_figures(publish_batch=3)]
