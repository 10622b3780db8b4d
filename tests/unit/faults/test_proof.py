from __future__ import annotations

import pytest

from faults.proof import Diary, Entry, Interval, Published, Verdict, problems, prove, table


def event(
    number: int, room: str = "trades", *, user: str = "u", outcome: str = "accepted", took: float = 0.1
) -> Published:
    """Published at second `number`."""
    assert outcome in ("accepted", "refused", "unknown")
    return Published(
        f"{user}:{number}",
        user,
        room,
        number,
        number,
        float(number),
        number + took,
        outcome,  # type: ignore[arg-type]
    )


def connect(at: float, *, recovered: bool = False, pid: bool = True) -> Entry:
    return Entry(at, "connect", "sid", recovered, pid)


def subscribed(at: float, room: str = "trades") -> Entry:
    return Entry(at, "subscribed", room)


def got(*numbers: int, user: str = "u") -> list[Entry]:
    return [Entry(number + 0.5, "event", f"{user}:{number}") for number in numbers]


def lost(at: float, *, final: bool = False) -> Entry:
    return Entry(at, "disconnect", "transport close", final)


def judged(
    published: list[Published], *entries: Entry, order: str = "all rooms", excused: tuple[str, ...] = ()
) -> Verdict:
    assert order in ("all rooms", "room")
    (verdict,) = prove(published, [Diary("c", "u", list(entries))], order, excused)  # type: ignore[arg-type]
    return verdict


def clean(verdict: Verdict) -> bool:
    return not (verdict.missing or verdict.doubled or verdict.disordered or verdict.foreign or verdict.gap)


FIVE = [event(number) for number in range(1, 6)]
START = (connect(0), subscribed(0.1))


def test_all_in_order() -> None:
    verdict = judged(FIVE, *START, *got(1, 2, 3, 4, 5))
    assert clean(verdict)
    assert (verdict.received, verdict.reconnects, verdict.connected) == (5, 0, True)
    assert problems([verdict], window=120) == []


@pytest.mark.parametrize(
    ("numbers", "missing", "doubled", "disordered"),
    [
        ((1, 2, 4, 5), ["u:3"], [], []),
        ((2, 3, 4, 5), ["u:1"], [], []),
        ((1, 2, 3), ["u:4", "u:5"], [], []),
        ((), ["u:1", "u:2", "u:3", "u:4", "u:5"], [], []),
        ((1, 2, 2, 3, 4, 5, 1), [], ["u:2", "u:1"], []),
        ((1, 3, 2, 4, 5), [], [], ["u:2"]),
        ((5, 1, 2, 3, 4), [], [], ["u:1", "u:2", "u:3", "u:4"]),
        ((1, 3, 2, 2, 5), ["u:4"], ["u:2"], ["u:2"]),
    ],
)
def test_what_is_wrong_is_named(
    numbers: tuple[int, ...], missing: list[str], doubled: list[str], disordered: list[str]
) -> None:
    verdict = judged(FIVE, *START, *got(*numbers))
    assert (verdict.missing, verdict.doubled, verdict.disordered) == (missing, doubled, disordered)
    told = problems([verdict], window=120)
    assert [name in " ".join(told) for name in ("missing", "doubled", "order")] == list(
        map(bool, (missing, doubled, disordered))
    )


def test_what_was_published_before_the_subscription_need_not_come_and_may() -> None:
    late = (connect(0), subscribed(3.5))
    assert clean(judged(FIVE, *late, *got(4, 5)))
    assert clean(judged(FIVE, *late, *got(3, 4, 5)))
    assert judged(FIVE, *late, *got(5)).missing == ["u:4"]


def test_the_users_own_room_comes_with_the_connection() -> None:
    published = [event(number, "user") for number in (1, 2)]
    assert judged(published, connect(0), *got(2)).missing == ["u:1"]
    assert clean(judged(published, connect(1.5), *got(2)))


@pytest.mark.parametrize("outcome", ["refused", "unknown"])
def test_what_was_not_accepted_need_not_come(outcome: str) -> None:
    published = [event(1), event(2, outcome=outcome), event(3)]
    assert clean(judged(published, *START, *got(1, 3)))
    verdict = judged(published, *START, *got(1, 2, 3))
    assert clean(verdict)
    assert verdict.phantoms == (["u:2"] if outcome == "refused" else [])


def test_what_nobody_knows_has_no_place_but_what_comes_after_it_has() -> None:
    published = [event(1), event(2, outcome="unknown"), event(3)]
    assert judged(published, *START, *got(1, 3, 2)).disordered == []
    assert judged(published, *START, *got(2, 1, 3)).disordered == ["u:1"]


def test_events_under_way_at_the_same_time_have_no_order() -> None:
    published = [event(1, took=5), event(2), event(3)]
    assert clean(judged(published, *START, *got(2, 3, 1)))
    assert judged(published, *START, *got(3, 2, 1)).disordered == ["u:2"]


def test_order_over_all_rooms_or_within_each() -> None:
    published = [event(1, "user"), event(2, "trades"), event(3, "user"), event(4, "trades")]
    mixed = (*START, *got(2, 1, 3, 4))
    assert judged(published, *mixed).disordered == ["u:1"]
    assert judged(published, *mixed, order="room").disordered == []
    assert judged(published, *START, *got(3, 1, 2, 4), order="room").disordered == ["u:1"]


def test_recovered_means_that_nothing_is_missing() -> None:
    back = (*START, *got(1, 2), lost(2.7), connect(4.5, recovered=True))
    verdict = judged(FIVE, *back, *got(3, 4, 5))
    assert clean(verdict)
    assert (verdict.reconnects, verdict.not_recovered) == (1, [])
    assert judged(FIVE, *back, *got(4, 5)).missing == ["u:3"]
    assert judged(FIVE, *back, *got(2, 3, 4, 5)).doubled == ["u:2"]


def test_recovered_by_a_client_that_had_received_nothing() -> None:
    back = (*START, lost(0.5), connect(1.5, recovered=True), lost(1.7), connect(2.5, recovered=True))
    assert clean(judged(FIVE, *back, *got(1, 2, 3, 4, 5)))
    assert judged(FIVE, *back, *got(2, 3, 4, 5)).missing == ["u:1"]


def test_not_recovered_is_a_gap_that_the_client_was_notified_of() -> None:
    verdict = judged(FIVE, *START, *got(1, 2), lost(2.7), connect(3.8), subscribed(4.5), *got(5))
    assert verdict.gap == ["u:3", "u:4"]
    assert verdict.missing == []
    assert (verdict.reconnects, len(verdict.not_recovered)) == (1, 1)
    assert verdict.not_recovered[0].away == pytest.approx(1.1)


def test_a_loss_before_the_end_of_a_stretch_is_no_gap() -> None:
    verdict = judged(FIVE, *START, *got(1, 3), lost(3.7), connect(4.2), subscribed(4.5), *got(5))
    assert (verdict.missing, verdict.gap) == (["u:2"], ["u:4"])


def test_what_is_missing_after_the_gap_is_missing() -> None:
    verdict = judged(FIVE, *START, *got(1), lost(1.7), connect(2.2), subscribed(2.5), *got(3, 5))
    assert (verdict.missing, verdict.gap) == (["u:4"], ["u:2"])


def test_recovery_is_promised_within_the_window_and_while_redis_loses_nothing() -> None:
    verdict = judged(FIVE, *START, *got(1, 2), lost(2.7), connect(3.8), subscribed(4.5), *got(5))
    assert len(problems([verdict], window=120)) == 1
    assert problems([verdict], window=1) == []
    assert problems([verdict]) == []


def test_what_redis_lost_excuses_who_came_or_saw_it_then() -> None:
    away = (lost(2.7), connect(3.8), subscribed(4.5))
    came_long_before = judged(FIVE, *START, *got(1, 2), *away, *got(5))
    assert len(problems([came_long_before], 120, [Interval(2, 3, "failover")])) == 1
    assert problems([came_long_before], 120, [Interval(0, 3, "failover")]) == []
    assert len(problems([came_long_before], 120, [Interval(4, 9, "failover")])) == 1
    saw_it = judged(FIVE, *START, *got(1, 2), *away, *got(5), excused=("u:2",))
    assert problems([saw_it], 120, [Interval(2, 3, "failover")]) == []
    assert len(problems([saw_it], 120, [Interval(4, 9, "failover")])) == 1


def test_what_redis_lost_is_counted_apart() -> None:
    verdict = judged(FIVE, *START, *got(1, 2, 4, 5), excused=("u:3",))
    assert (verdict.missing, verdict.lost_by_redis) == ([], ["u:3"])
    assert judged(FIVE, *START, *got(1, 2, 3, 4, 5), excused=("u:3",)).lost_by_redis == []


def test_events_of_others_are_reported() -> None:
    published = [*FIVE, event(1, user="v")]
    verdict = judged(published, *START, *got(1, 2), *got(1, user="v"), *got(9), *got(3, 4, 5))
    assert verdict.foreign == ["v:1", "u:9"]


@pytest.mark.parametrize("final", [False, True])
def test_who_is_away_in_the_end_is_reported(final: bool) -> None:
    verdict = judged(FIVE, *START, *got(1, 2, 3, 4, 5), lost(6, final=final))
    assert not verdict.connected
    (told,) = problems([verdict], window=120)
    assert ("transport close" in told) is final


def test_the_table_has_a_line_for_each_client_and_the_sums() -> None:
    published = [*FIVE, event(6, outcome="unknown", took=2.5), event(7, outcome="refused")]
    verdicts = prove(published, [Diary("c1", "u", [*START, *got(1, 2)]), Diary("c2", "u", [*START, *got(1, 2, 3, 3)])])
    lines = table(verdicts, published).splitlines()
    assert lines[0] == "published: 5 accepted, 1 refused, 1 unknown; the longest took 2.5 s"
    assert [line.split()[:5] for line in lines[2:]] == [
        ["c1", "u", "2", "3", "0"],
        ["c2", "u", "3", "2", "1"],
        ["all", "5", "5", "1", "0"],
    ]


def test_recovery_is_demanded_only_of_connections_with_a_pid() -> None:
    def verdict(*, pid: bool) -> Verdict:
        back = (lost(2.7), connect(3.8), subscribed(4.5))
        return judged(FIVE, connect(0, pid=pid), subscribed(0.1), *got(1, 2), *back, *got(5))

    redis_is_away = [Interval(0, 1, "oom")]
    assert len(problems([verdict(pid=True)], 120, (), redis_is_away)) == 1
    assert problems([verdict(pid=False)], 120, (), redis_is_away) == []
    # what it missed is a gap as ever, and what it had to get is missing as ever
    assert verdict(pid=False).gap == ["u:3", "u:4"]
    assert judged(FIVE, connect(0, pid=False), subscribed(0.1), *got(1, 2, 4, 5)).missing == ["u:3"]


def test_who_has_a_pid_again_must_be_recovered_again() -> None:
    lives = (connect(0, pid=False), subscribed(0.1), lost(0.2), connect(0.3), subscribed(0.4), lost(0.5), connect(0.6))
    verdict = judged([], *lives)
    assert [one.had_pid for one in verdict.not_recovered] == [False, True]
    assert len(verdict.broken_promises(120)) == 1


def test_who_is_away_when_the_history_is_lost_starts_a_new_session_and_others_do_not() -> None:
    verdict = judged([], connect(0), lost(1), connect(2), lost(5), connect(6))
    assert len(problems([verdict], 120)) == 1
    assert len(verdict.broken_promises(120, (), [Interval(1.5, 3, "volatile-lru")])) == 1
    assert verdict.broken_promises(120, (), [Interval(1.5, 5, "volatile-lru")]) == []
    assert problems([verdict], 120, history_lost=[Interval(1.5, 5, "volatile-lru")]) == []


def test_a_pid_is_denied_only_while_something_is_wrong_with_redis() -> None:
    verdict = judged([], connect(3, pid=False), lost(4), connect(5, pid=False), lost(6), connect(7))
    assert verdict.without_pid == [3, 5]
    spans = [Interval(2, 3.5, "redis_kill"), Interval(4, 4.9, "oom")]
    assert verdict.denied(spans) == [5]
    (told,) = problems([verdict], 120, (), spans)
    assert "1 of 3 times let in without a pid" in told
    assert problems([verdict], 120, (), [*spans, Interval(5, 6, "oom")]) == []
    assert problems([verdict]) == []


def test_a_server_that_never_gives_a_pid_fails() -> None:
    verdicts = [judged(FIVE, connect(0, pid=False), subscribed(0.1), *got(1, 2, 3, 4, 5))]
    assert len(problems(verdicts, 120, (), [Interval(1, 100, "redis_kill")])) == 1
