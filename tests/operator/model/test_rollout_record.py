"""What is recorded of a failed trial, and what somebody else may have made of it."""

from __future__ import annotations

import json

import pytest

from tradecast_operator.model.observation import Hold
from tradecast_operator.model.rollout_record import HOLD, LONGEST_REASON, format_hold, read_hold


@pytest.mark.parametrize("deadline", [600, None])
def test_what_was_written_is_read(deadline: int | None) -> None:
    hold = Hold("abc", "9 of 25 connects failed: ünïcode", deadline, 30, True)
    assert read_hold({HOLD: format_hold(hold)}) == hold


def test_a_long_reason_is_cut() -> None:
    read = read_hold({HOLD: format_hold(Hold("abc", "x" * 5_000))})
    assert read is not None
    assert len(read.why) == LONGEST_REASON


GOOD = {"revision": "abc", "why": "x", "minReadySeconds": 1, "progressDeadlineSeconds": 600}


@pytest.mark.parametrize(
    "value",
    [
        *(None, 7, "", "true", "[]", "{}", "[" * 100_000, '{"revision": NaN}'),
        *(
            json.dumps({**GOOD, **wrong})
            for wrong in (
                {"revision": ""},
                {"revision": 7},
                {"why": None},
                {"minReadySeconds": -1},
                {"minReadySeconds": 1.5},
                {"minReadySeconds": 2**31},
                {"progressDeadlineSeconds": "600"},
                {"progressDeadlineSeconds": True},
                {"connectsFail": "yes"},
            )
        ),
    ],
)
def test_nonsense_is_no_record(value: object) -> None:
    assert read_hold({HOLD: value}) is None
    assert read_hold({HOLD: json.dumps(GOOD)}) is not None
    assert read_hold({}) is None
