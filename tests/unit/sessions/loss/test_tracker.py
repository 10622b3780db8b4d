"""What a missing session means, by what this server and others know of a loss."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest

from kit.clock import HandClock
from tradecast.sessions.admin import make_handle
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.loss.marks import EVERYTHING, name_handle, name_session, name_user
from tradecast.sessions.loss.mass_loss import LONGEST
from tradecast.sessions.loss.tracker import KEPT_READS, LossTracker
from tradecast.sessions.models import Session, User
from tradecast.sessions.stores.base import Instances
from tradecast.sessions.stores.memory import MemoryStore


class Marks:
    """The marks of a fleet, in memory."""

    def __init__(self) -> None:
        self.until: float | None = None
        self.names: set[str] = set()

    async def mark_lost(self, until: float) -> float:
        self.until = self.until or until
        return self.until

    async def lost_until(self) -> float | None:
        return self.until

    async def revoke(self, names: Iterable[str]) -> None:
        self.names |= set(names)

    async def revoke_all(self) -> None:
        self.names.add(EVERYTHING)
        self.until = None

    async def revoked(self, names: Collection[str], since: float) -> set[str]:
        return self.names & set(names)


class Store(MemoryStore):
    """A store of one instance, which may be replaced."""

    instance = "one"

    async def instances(self) -> Instances | None:
        instance = self.instance
        return lambda session_id: instance


def make_tracker(marks: Any, store: Store | None = None) -> LossTracker:
    return LossTracker(store or Store(), marks, HandClock())


async def test_the_instance_that_a_session_was_read_from_is_remembered() -> None:
    store = Store()
    tracker = make_tracker(Marks(), store)
    tracker.note_read("s1")
    assert not tracker.was_read("s1"), "no poll has found out which instance there is"
    tracker.instances = await store.instances()
    tracker.note_read("s1")
    assert tracker.was_read("s1")
    assert not tracker.was_read("s2")
    store.instance = "two"
    tracker.instances = await store.instances()
    assert not tracker.was_read("s1"), "that was another instance"
    for number in range(KEPT_READS + 1):
        tracker.note_read(f"n{number}")
    assert len(tracker._read_in) == KEPT_READS
    assert not tracker.was_read("n0")
    assert tracker.was_read("n1")


async def test_without_marks_a_missing_session_has_ended() -> None:
    tracker = make_tracker(None)
    await tracker.check_missing("s")
    assert not await tracker.find_loss()
    assert await tracker.find_revoked(["s"], {}) == set()


async def test_a_session_is_not_known_to_have_ended_while_its_instance_was_replaced() -> None:
    store = Store()
    tracker = make_tracker(Marks(), store)
    await tracker.check_missing("s")  # which instances there were is not known
    tracker.instances = await store.instances()
    await tracker.check_missing("s")
    store.instance = "two"
    with pytest.raises(StoreUnavailable, match="another instance"):
        await tracker.check_missing("s")


async def test_a_loss_is_known_to_other_servers_until_the_same_time() -> None:
    marks = Marks()
    one, other = make_tracker(marks), make_tracker(marks)
    await one.begin(["s"])
    assert marks.until is not None
    assert await other.find_loss()
    assert other.state.until == one.state.until == marks.until
    assert one.state.lost == {"s"}
    with pytest.raises(StoreUnavailable, match="lost its sessions"):
        await other.check_missing("s")


@pytest.mark.parametrize(
    "name", [name_session("s"), name_user("u1"), name_handle(make_handle("s")), name_session("another")]
)
async def test_lost_sessions_are_revoked_by_id_user_and_handle(name: str) -> None:
    marks = Marks()
    tracker = make_tracker(marks)
    await tracker.begin(["s"])
    await marks.revoke([name])
    known = {"s": Session("s", User("u1"), LONGEST)}
    assert await tracker.find_revoked(["s"], known) == (set() if name == name_session("another") else {"s"})


async def test_revoking_everything_ends_the_loss() -> None:
    marks = Marks()
    one, other = make_tracker(marks), make_tracker(marks)
    await one.begin(["s"])
    assert await other.find_loss()
    await one.mark_all_revoked()
    assert not one.state.active
    assert await other.find_revoked(["s", "t"], {}) == {"s", "t"}
    assert not other.state.active


async def test_revocations_are_marked_by_name() -> None:
    marks = Marks()
    tracker = make_tracker(marks)
    await tracker.mark_revoked(["s"], user_id="u1", handle="abc")
    assert marks.names == {name_session("s"), name_user("u1"), name_handle("abc")}
