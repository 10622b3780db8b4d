from __future__ import annotations

import gzip
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradecast.engine.compression import gzip as module
from tradecast.engine.compression.gzip import LONGEST, SMALLEST, GzipAnswers, accepts_gzip

LARGE = b'42["event",' + b"x" * SMALLEST + b"]"


@pytest.mark.parametrize(
    "accepted",
    [
        *("gzip", "GZip", "x-gzip", "*", "gzip, deflate, br, zstd", "deflate, gzip;q=1.0, *;q=0.5", "gzip;q=0.001"),
        *("gzip ; q=0.5", "gzip;\tq=1", "br;q=1,gzip;q=0.8,identity;q=0.1", ",gzip,,", "identity;q=0, gzip;q=0.2"),
        *("gzip;q=1.000", "gzip;Q=0.5", "gzip;q=0.5, identity;q=0.5"),
    ],
)
def test_accepted(accepted: str) -> None:
    assert accepts_gzip(accepted)


@pytest.mark.parametrize(
    "accepted",
    [
        *(
            None,
            "",
            "identity",
            "br",
            "deflate",
            "gzip;q=0",
            "gzip;q=0.000",
            "*;q=0",
            "gzip;q=0, *",
            "gzipped",
            "x-gzip2",
        ),
        *("gzip;q=2", "gzip;q=1.001", "gzip;q=-1", "gzip;q=", "gzip;q=0.0001", "gzip q=1", "gzip;level=9", "gzip, é"),
        *("gzip;q=0.4, identity;q=0.5", "gzip;q=nan", "gzip;q=1e3", "gzip," + " " * LONGEST),
    ],
)
def test_not_accepted(accepted: str | None) -> None:
    assert not accepts_gzip(accepted)


@given(st.text("gzip,;q=01. *\t", max_size=30))
def test_anything_is_accepted_or_not(accepted: str) -> None:
    assert accepts_gzip(accepted) in (True, False)


def test_large_answers_are_compressed() -> None:
    answer = GzipAnswers().compress(LARGE)
    assert answer is not None
    assert len(answer) < len(LARGE) / 4
    assert gzip.decompress(answer) == LARGE


def test_small_answers_are_not() -> None:
    assert GzipAnswers().compress(b"x" * (SMALLEST - 1)) is None
    assert GzipAnswers().compress(b"x" * SMALLEST) is not None


def test_answers_that_would_take_too_long_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", len(LARGE) - 1)
    answers = GzipAnswers()
    assert answers.compress(LARGE) is None
    assert answers._last is None, "nor are they kept"


def test_answers_that_do_not_shrink_are_not() -> None:
    assert GzipAnswers().compress(os.urandom(2_000)) is None


@pytest.mark.parametrize("packet", [b'0{"sid":"a","upgrades":[]}', b'40{"sid":"a","pid":"b"}', b'40/a,{"sid":"a"}'])
def test_answers_with_the_id_of_a_connection_are_not(packet: bytes) -> None:
    """BREACH: beside what others wrote, the size would tell about the id."""
    assert GzipAnswers().compress(packet + b"\x1e" + LARGE) is None
    assert GzipAnswers().compress(LARGE + b"\x1e" + packet) is None


def test_same_answer_is_compressed_once() -> None:
    answers, other = GzipAnswers(), LARGE + b"x"
    first = answers.compress(LARGE)
    assert answers.compress(LARGE) is first
    assert answers.compress(other) != first
    assert gzip.decompress(answers.compress(LARGE) or b"") == LARGE
