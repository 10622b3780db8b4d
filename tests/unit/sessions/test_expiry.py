"""One timer for the ends of all sessions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection

import pytest

from kit.clock import HandClock
from tradecast.sessions.expiry import SessionExpiry


class Ended:
    """What was told, and when."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.calls: list[set[str]] = []
        self.error: Exception | None = None
        self.happened = asyncio.Condition()

    async def check_expired(self, ids: Collection[str]) -> None:
        async with self.happened:
            self.calls.append(set(ids))
            self.at |= dict.fromkeys(ids, time.time())
            self.happened.notify_all()
        if self.error is not None:
            raise self.error

    async def wait(self, *ids: str) -> None:
        async with asyncio.timeout(30), self.happened:
            await self.happened.wait_for(lambda: self.at.keys() >= set(ids))


@pytest.fixture
def ended() -> Ended:
    return Ended()


@pytest.fixture
async def expiry(ended: Ended) -> AsyncIterator[SessionExpiry]:
    expiry = SessionExpiry(ended)
    yield expiry
    await expiry.close()


async def test_not_before_and_within_a_second(expiry: SessionExpiry, ended: Ended) -> None:
    now = time.time()
    ends = {f"s{n}": now + 0.1 + n * 0.13 for n in range(8)}
    for session_id in sorted(ends, reverse=True):  # the earliest last: the timer has to move forward
        expiry.watch(session_id, ends[session_id])

    async def is_told_a_second_later(session_id: str) -> bool:
        await asyncio.sleep(ends[session_id] + 1 - time.time())
        for _ in range(10):  # where the loop stood still, both are due in one turn
            await asyncio.sleep(0)
        return session_id in ended.at

    assert all(await asyncio.gather(*map(is_told_a_second_later, ends)))
    assert all(end <= ended.at[session_id] for session_id, end in ends.items())
    assert len(expiry) == 0


async def test_one_call_for_all_of_a_moment(expiry: SessionExpiry, ended: Ended) -> None:
    end = time.time() + 0.3
    ids = [f"s{n}" for n in range(1_000)]
    for session_id in ids:
        expiry.watch(session_id, end)
    await ended.wait(*ids)
    assert ended.calls == [set(ids)]


async def test_what_has_ended_already_is_reported(expiry: SessionExpiry, ended: Ended) -> None:
    expiry.watch("old", time.time() - 1_000)
    await ended.wait("old")


async def test_replaced_and_unwatched(expiry: SessionExpiry, ended: Ended) -> None:
    now = time.time()
    for session_id in ("extended", "unwatched", "shortened"):
        expiry.watch(session_id, now + (600 if session_id == "shortened" else 0.1))
    expiry.watch("extended", now + 600)
    expiry.watch("shortened", now + 0.6)
    expiry.unwatch("unwatched")
    expiry.unwatch("never watched")
    await ended.wait("shortened")
    assert ended.calls == [{"shortened"}]
    assert len(expiry) == 1


async def test_watched_again_from_the_callback() -> None:
    told: list[float] = []
    done = asyncio.Event()

    class Extends:
        async def check_expired(self, session_ids: Collection[str]) -> None:
            told.append(time.time())
            if len(told) == 1:
                own.watch("s", time.time() + 0.3)
            else:
                done.set()

    own = SessionExpiry(Extends())
    own.watch("s", time.time() + 0.1)
    async with asyncio.timeout(30):
        await done.wait()
    assert told[1] - told[0] >= 0.3
    await own.close()


async def test_an_error_in_the_callback_does_not_stop_it(expiry: SessionExpiry, ended: Ended) -> None:
    ended.error = ValueError("theirs")
    expiry.watch("a", time.time())
    await ended.wait("a")
    expiry.watch("b", time.time())
    await ended.wait("b")


async def test_the_clock_is_looked_at_again(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradecast.sessions.expiry.LONGEST_SLEEP", 0.05)
    clock = [1_000.0]
    expiry = SessionExpiry(ended, clock=lambda: clock[0])
    expiry.watch("s", 5_000.0)
    clock[0] = 6_000.0  # somebody sets it
    await ended.wait("s")
    await expiry.close()


async def test_closed_reports_nothing(expiry: SessionExpiry, ended: Ended) -> None:
    expiry.watch("s", time.time() + 0.05)
    await expiry.close()
    other = SessionExpiry(ended)
    other.watch("later", time.time() + 0.4)
    await ended.wait("later")
    await other.close()
    assert ended.calls == [{"later"}]


async def test_a_session_that_is_touched_all_day_leaves_nothing_behind(expiry: SessionExpiry) -> None:
    now = time.time()
    for touch in range(2_000):
        expiry.watch("s", now + 1_000 + touch)
    assert len(expiry._slots) == 1


async def test_an_end_that_moved_back_is_kept(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradecast.sessions.expiry.LONGEST_SLEEP", 0.01)
    clock = HandClock()
    expiry = SessionExpiry(ended, clock)
    expiry.watch("later", 1_010.0)
    expiry.watch("later", 1_020.0)
    expiry.watch("other", 1_010.0)
    for now, told in ((1_010.0, "other"), (1_020.0, "later")):
        clock.now = now
        await ended.wait(told)
    assert ended.calls == [{"other"}, {"later"}]
    await expiry.close()


async def test_many_that_come_and_go_leave_nothing_behind(expiry: SessionExpiry) -> None:
    now = time.time()
    for number in range(2_000):
        expiry.watch(f"s{number}", now + 1_000 + number)
        expiry.unwatch(f"s{number}")
    assert len(expiry._slots) == 0
    assert len(expiry._order) < 200
