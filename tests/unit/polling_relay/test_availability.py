"""Whether polling is offered."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from tradecast.polling_relay import availability as module
from tradecast.polling_relay.availability import WHY, PollingAvailability, Reason, count_others_without


@pytest.mark.parametrize(
    ("told", "known", "expected"),
    [
        ([], [], 0),
        (["a", "b"], ["a", "b"], 0),
        (["a", "b"], [], 0),  # it has told so, and is found when it is asked for
        ([""], [], 1),
        (["a", "", ""], ["a"], 2),
        ([""], ["old"], 0),  # of an older version that has the port
        (["a", "", ""], ["a", "old"], 1),
        (["a", ""], ["a"], 1),  # an entry that somebody else has told of counts for nobody else
        ([], ["crashed"], 0),
        (["a"], ["a", "crashed", "crashed too"], 0),
    ],
)
def test_servers_that_pass_nothing_on(told: list[str], known: list[str], expected: int) -> None:
    assert count_others_without(told, known) == expected


@dataclass
class Own:
    is_served: bool = True
    is_registered: bool = True
    other_boots: Collection[str] = ()


@dataclass
class Others:
    boots: Collection[str] | None


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        (Own(), [], None),
        (Own(), ["a"], None),
        (Own(is_served=False, is_registered=False), [], "not_served"),
        (Own(is_served=False), None, "not_served"),
        (Own(is_registered=False), [], "redis_away"),
        (Own(), None, "redis_away"),
        (Own(), ["a", ""], "other_servers"),
        (Own(other_boots=["old"]), ["a", ""], None),
    ],
)
def test_why_not(own: Own, others: list[str] | None, expected: Reason | None) -> None:
    assert PollingAvailability(own, Others(others)).find_reason() == expected


def test_the_log_has_changes_only() -> None:
    others = [""]
    availability = PollingAvailability(Own(), Others(others))
    with capture_logs() as lines:
        for _ in range(3):
            availability.log_change()
        others.clear()
        for _ in range(3):
            availability.log_change()
        others.append("")
        availability.log_change()
    refused = {"event": "polling is not offered: only websocket", "log_level": "warning"}
    refused |= {"why": WHY["other_servers"], "reason": "other_servers"}
    assert lines == [refused, {"event": "polling is offered", "log_level": "info"}, refused]


@pytest.mark.parametrize(("served_after", "expected"), [(3, "polling is offered"), (10**6, "polling is not offered")])
async def test_a_port_that_is_about_to_be_served_is_no_news(
    monkeypatch: pytest.MonkeyPatch, served_after: int, expected: str
) -> None:
    slept: list[float] = []
    own = Own(is_served=False)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        own.is_served = len(slept) >= served_after
        if seconds == module.CHECK_EVERY:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with capture_logs() as lines, pytest.raises(asyncio.CancelledError):
        await PollingAvailability(own, Others([])).run()
    assert sum(slept[:-1]) <= module.STARTING
    assert [line["event"].partition(":")[0] for line in lines] == [expected]
