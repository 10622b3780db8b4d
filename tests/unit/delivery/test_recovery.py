"""Decisions of connection state recovery."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tradecast.delivery.broker import RecoveryState
from tradecast.delivery.envelope import COUNTED, LATEST, Envelope, Kind
from tradecast.delivery.ids import Offset
from tradecast.delivery.recovery import (
    Request,
    find_ahead,
    find_first_vector,
    find_starts,
    is_as_noted,
    is_for_client,
    is_for_returning_client,
    is_future,
    is_whole,
    merge_histories,
    new_pid,
)


def session(joins: dict[str, int], confirmed: tuple[int, ...] = ()) -> RecoveryState:
    return RecoveryState("pid", "u1", "sid", "c1", joins=joins, confirmed=confirmed)


def event(event_id: int, *rooms: str, kind: Kind = COUNTED, name: str = "e", **options: Any) -> Envelope:
    return Envelope(kind, name, rooms, b'2["e"', event_id=event_id, **options)


# -- what a client asks for


@pytest.mark.parametrize(
    ("auth", "wanted"),
    [
        (None, True),
        ("text", True),
        ([], True),
        (5, True),
        ({}, True),
        ({"recovery": True}, True),
        ({"recovery": None}, True),
        ({"recovery": 0}, True),
        ({"recovery": "false"}, True),
        ({"recovery": False}, False),
    ],
)
def test_only_false_declines(auth: Any, wanted: bool) -> None:
    assert Request.of(auth).wanted is wanted


@pytest.mark.parametrize(
    ("auth", "offset"),
    [({}, None), ({"offset": None}, None), ({"offset": ""}, None), ({"offset": "a.1"}, "a.1"), ({"offset": 0}, 0)],
)
def test_an_empty_offset_is_none(auth: Any, offset: object) -> None:
    """Go's client sends one as long as it has got no event. What is none otherwise is malformed."""
    found = Request.of(auth).offset
    assert (found, type(found)) == (offset, type(offset))


@pytest.mark.parametrize("auth", [None, 5, "pid", ["pid", "offset"], {"PID": "x"}])
def test_who_says_nothing_asks_for_nothing(auth: Any) -> None:
    request = Request.of(auth)
    assert (request.pid, request.offset, request.valid_pid()) == (None, None, None)


def test_a_pid_is_long_random_and_valid() -> None:
    pids = {new_pid() for _ in range(1000)}
    assert len(pids) == 1000
    assert all(Request.of({"pid": pid}).valid_pid() == pid for pid in pids)


@pytest.mark.parametrize(
    "pid",
    [
        *("", "x", "a" * 23, "a" * 25, "a" * 24 + "\n", "a" * 23 + "\n", " " + "a" * 23, "a" * 23 + "é"),
        *("a" * 23 + "\ud800", "a" * 23 + "\x00", "١" * 24, "a" * 23 + ":", "a" * 23 + "*", "a" * 1_000_000),
        *(None, 5, True, b"a" * 24, ["a" * 24], {"a": "a" * 24}),
    ],
)
def test_what_is_no_pid(pid: object) -> None:
    assert Request.of({"pid": pid, "offset": {"$gt": ""}}).valid_pid() is None


# -- from where


def test_each_room_is_read_from_the_latest_of_join_heartbeat_and_offset() -> None:
    of = {"a": 0, "b": 0, "c": 0}
    saved = session({"a": 10, "b": 20, "c": 30})
    assert find_starts(saved, None, of, of) == {"a": 10, "b": 20, "c": 30}
    assert find_starts(saved, Offset("e", (15,)), of, of) == {"a": 15, "b": 20, "c": 30}
    saved.confirmed = (25,)
    assert find_starts(saved, None, of, of) == {"a": 25, "b": 25, "c": 30}
    assert find_starts(saved, Offset("e", (15,)), of, of) == {"a": 25, "b": 25, "c": 30}
    assert find_starts(saved, Offset("e", (40,)), of, ["a", "c"]) == {"a": 40, "c": 40}


def test_partitions_have_their_own_positions() -> None:
    saved = session({"a": 10, "b": 20}, confirmed=(11, 5))
    of = {"a": 0, "b": 1}
    assert find_starts(saved, Offset("e", (3, 50)), of, of) == {"a": 11, "b": 50}


def test_the_first_offset_of_a_replay_is_what_the_client_has_of_every_room() -> None:
    of = {"a": 0, "b": 0, "c": 1}
    assert find_first_vector({"a": 30, "b": 20, "c": 7}, None, [100, 100, 100], of) == (20, 7, 100)
    assert find_first_vector({"a": 30, "b": 20, "c": 7}, Offset("e", (25, 1, 2)), [100, 100, None], of) == (25, 7, 2)
    assert find_first_vector({}, None, [None], {}) == (0,)


@pytest.mark.parametrize(
    ("said", "valid", "ahead"),
    [
        (None, None, set()),
        (Offset("e", (5, 5)), None, set()),
        (Offset("e", (5, 5)), Offset("f", (5, 5)), set()),
        (Offset("e", (5, 6)), Offset("f", (5, 5)), {1}),
        (Offset("e", (9, 6)), Offset("f", (5, 5)), {0, 1}),
        (Offset("e", (1, 1)), Offset("f", (5, 5)), set()),
    ],
)
def test_where_a_client_has_seen_what_is_lost(said: Offset | None, valid: Offset | None, ahead: set[int]) -> None:
    assert find_ahead(said, valid) == ahead


@pytest.mark.parametrize(
    ("envelope", "does"),
    [
        (event(1, "a", kind=LATEST), True),  # the state, whatever the client has seen
        (event(1, "other", kind=LATEST), False),
        (event(1, "other", "a", kind=LATEST), True),
        (event(99, "a", kind=LATEST, skip=["sid"]), False),
        (event(99, "a", kind=LATEST, except_rooms=["b"]), False),
        (event(1, "a", kind=LATEST, ends_in_text=True), False),  # its offset says who has it
        (event(11, "a", kind=LATEST, ends_in_text=True), True),
        (event(1, "a"), False),
        (event(11, "a"), True),
        (event(99, "a", kind=LATEST, elsewhere={"b": 21}), False),
    ],
)
def test_who_comes_back_gets_the_state_whatever_it_has_seen(envelope: Envelope, does: bool) -> None:
    begin = {"a": 10, "b": 20}
    assert is_for_returning_client(envelope, "sid", begin, begin) is does


def test_who_may_have_a_newer_state_does_not_get_an_older_one() -> None:
    begin = {"a": 10}
    for event_id, does in ((10, False), (11, True)):
        one = event(event_id, "a", kind=LATEST)
        assert is_for_returning_client(one, "sid", begin, begin, has_newer=True) is does


def test_an_offset_beyond_the_last_id_is_nobodys() -> None:
    assert not is_future(None, [5])
    assert not is_future(Offset("e", (5,)), [5])
    assert is_future(Offset("e", (6,)), [5])
    assert not is_future(Offset("e", (6, 3)), [None, 3])
    assert is_future(Offset("e", (6, 4)), [None, 3])


# -- for whom


@pytest.mark.parametrize(
    ("envelope", "does"),
    [
        (event(11, "a"), True),
        (event(10, "a"), False),  # published before the client joined, or as it did
        (event(9, "a"), False),
        (event(11, "other"), False),
        (event(21, "b", "other"), True),
        (event(15, "a", "b"), True),
        (event(15, "b", "a"), True),
        (event(5, "a", "b"), False),
        (event(11, "a", skip=["sid"]), False),
        (event(11, "a", skip=["else"]), True),
        (event(11, "a", except_rooms=["b"]), False),
        (event(11, "a", except_rooms=["other"]), True),
    ],
)
def test_whom_an_event_concerns(envelope: Envelope, does: bool) -> None:
    assert is_for_client(envelope, "sid", {"a": 10, "b": 20}, {"a": 10, "b": 20}) is does


# -- whether anything is missing


@pytest.mark.parametrize(
    ("start", "first", "trimmed", "oldest_certain", "whole"),
    [
        (10, 5, False, 0, True),  # goes back far enough
        (10, 10, False, 0, True),
        (10, 10, True, 99, True),  # whatever else is known
        (10, 5, True, 99, True),
        (10, 11, True, 0, False),  # something was taken, perhaps what is missing
        (10, 11, False, 0, True),  # nothing was taken, and no forerunner can have been lost
        (10, 11, False, 10, True),
        (10, 11, False, 11, False),  # its forerunner may have expired with what is missing
        (10, None, False, 10, True),  # nothing was published
        (10, None, False, 11, False),
        (10, None, True, 0, False),
        (0, None, False, 0, True),
        (0, 1, False, 1, False),
    ],
)
def test_whether_a_history_is_whole(
    start: int, first: int | None, trimmed: bool, oldest_certain: int, whole: bool
) -> None:
    assert is_whole(start, first, trimmed=trimmed, oldest_certain=oldest_certain) is whole


# -- in which order


def test_rooms_are_merged_by_id_and_an_event_of_several_rooms_is_there_once() -> None:
    both, a, b = event(2, "a", "b"), event(1, "a"), event(3, "b")
    for parts in itertools.permutations([[a, both], [both, b], []]):
        assert [one.id for one in merge_histories(parts)] == [1, 2, 3]


def test_events_that_count_are_all_kept_and_of_the_latest_the_newest() -> None:
    parts = [
        [event(1, "a"), event(2, "a"), event(3, "a", kind=LATEST, name="q"), event(5, "a", kind=LATEST, name="q")],
        [event(4, "b", kind=LATEST, name="q"), event(6, "a", kind=LATEST, name="other")],
    ]
    assert [one.id for one in merge_histories(parts)] == [1, 2, 4, 5, 6]


def test_nothing_is_merged_to_nothing() -> None:
    assert merge_histories([]) == merge_histories([[], []]) == []


# -- another history


def test_what_is_beyond_the_cut_is_not_counted_on() -> None:
    saved = session({"a": 10, "b": 30, "other": 30}, confirmed=(25, 25))
    saved.cut({"a": 0, "b": 0, "other": 1}.__getitem__, 0, 20)
    assert saved.joins == {"a": 10, "b": 20, "other": 30}
    assert saved.confirmed == (20, 25)
    unconfirmed = session({"a": 30})
    unconfirmed.cut(lambda room: 0, 0, 20)
    assert (unconfirmed.joins, unconfirmed.confirmed) == ({"a": 20}, ())


@pytest.mark.parametrize(
    ("start", "found", "noted", "sure", "whole"),
    [
        (10, ((), ()), (0, 0, 0), True, True),  # nobody ever wrote to it
        (10, ((), ()), (10, 10, 10), True, True),  # what is gone, the client has
        (10, ((), ()), (11, 0, 0), True, False),
        (10, ((), ()), (0, 11, 0), True, False),
        (10, ((11,), ()), (11, 0, 0), True, True),
        (10, ((11,), ()), (11, 11, 0), True, False),
        (10, ((11,), (11,)), (11, 11, 0), True, True),
        (10, ((12, 13), ()), (13, 0, 11), True, False),  # it began anew after something was lost
        (10, ((12, 13), ()), (13, 0, 10), True, True),
        (10, ((12,), ()), (11, 0, 0), True, True),  # a publisher without notes
        (10, ((11,), ()), (11, 0, 0), False, False),
    ],
)
def test_whether_all_that_was_noted_is_there(
    start: int, found: tuple[tuple[int, ...], ...], noted: tuple[int, ...], sure: bool, whole: bool
) -> None:
    assert is_as_noted(start, found, noted, sure=sure) is whole


@pytest.mark.parametrize("value", [False, None, 1, "true", [True], {}])
def test_deltas_are_for_those_who_say_true(value: Any) -> None:
    assert Request.of({"deltas": True}).deltas
    assert not Request.of({"deltas": value}).deltas
    assert not Request.of([value]).deltas
