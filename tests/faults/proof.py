"""The proof: numbered events against what each client saw. Pure; every time is Unix seconds of one machine's clock.

What was published *before* what is told by the publisher's own clock: B comes after A if the publisher had its answer
for A before it began with B. So any number of publishers at once can be checked, and nothing is claimed of two events
that were on their way at the same time.

A client's life falls into *stretches*: a stretch begins with a connection that was not recovered, and goes on over all
connections that were (`socket.recovered`). Within a stretch nothing may be missing. Where one ends without recovery,
the client was told so, and what it had not got by then is a *gap*, which is no silent loss; whether it had to come to
that is another question (`Verdict.not_recovered`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["accepted", "refused", "unknown"]
Kind = Literal["connect", "subscribed", "event", "quote", "disconnect", "refused", "note"]
Order = Literal["all rooms", "room"]

IMPLIED = "user"
"""The room that comes with the connection."""
SLACK = 0.005
"""Clients note whole milliseconds."""


@dataclass(frozen=True, slots=True)
class Published:
    """One event that was given to a publisher.

    Attributes:
        id: What tells it from all others.
        user: Whose it is.
        room: portfolio, trades or user.
        seq: Its number in that room, from 1.
        number: Its number over all rooms of the user, from 1.
        started: When the publisher was asked.
        ended: When it had answered.
        outcome: Whether it was accepted, certainly not accepted, or nobody knows.
    """

    id: str
    user: str
    room: str
    seq: int
    number: int
    started: float
    ended: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a client's diary.

    Attributes:
        at: When.
        kind: connect; subscribed (acknowledged); event; quote; disconnect; refused (`connect_error`); note.
        detail: The room, the event's id, the quote's symbol, or the reason.
        flag: Of connect: it was recovered. Of quote: its number. Of disconnect and refused: the client will not come
            back by itself.
        pid: Of connect: it was given a pid, so the client can ask to be recovered the next time.
    """

    at: float
    kind: Kind
    detail: str = ""
    flag: int = False
    pid: bool = True


@dataclass(slots=True)
class Diary:
    """What one client went through, in order."""

    client: str
    user: str
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Interval:
    """From when to when, and why."""

    begin: float
    end: float
    why: str

    def overlaps(self, begin: float, end: float) -> bool:
        return begin <= self.end and end >= self.begin


@dataclass(frozen=True, slots=True)
class NotRecovered:
    """A client that came back and was told that it has missed something.

    Attributes:
        left: When its connection was lost.
        back: When it had another one.
        had_pid: Whether the lost one had been given a pid; without, nobody can be recovered.
        since: When its pid was given to it.
        saw_lost: Whether it had got, since then, an event that Redis lost.
    """

    left: float
    back: float
    had_pid: bool = True
    since: float = 0.0
    saw_lost: bool = False

    @property
    def away(self) -> float:
        """Seconds between the connections."""
        return self.back - self.left


@dataclass(slots=True)
class Verdict:
    """What one client went through.

    Attributes:
        received: How many different events came.
        missing: Accepted, and silently lost.
        doubled: Came more than once.
        disordered: Came after one that was published later.
        foreign: Of another user, or of nobody.
        gap: Accepted and not got, where the client was told so.
        lost_by_redis: Accepted and not got, and excused since Redis itself had lost them.
        phantoms: Came although the publisher was told that they were not accepted.
        reconnects: Connections after the first.
        not_recovered: Those of them that were not recovered.
        without_pid: When connections were made that were given no pid.
        connected: Whether it was connected in the end.
        gave_up: Why it will not come back by itself.
    """

    client: str
    user: str
    received: int = 0
    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    gap: list[str] = field(default_factory=list)
    lost_by_redis: list[str] = field(default_factory=list)
    phantoms: list[str] = field(default_factory=list)
    reconnects: int = 0
    not_recovered: list[NotRecovered] = field(default_factory=list)
    without_pid: list[float] = field(default_factory=list)
    connected: bool = False
    gave_up: str = ""

    def broken_promises(
        self, window: float, excused: Iterable[Interval] = (), history_lost: Iterable[Interval] = ()
    ) -> list[NotRecovered]:
        """Reconnects that were not recovered although the client had a pid and was away for less than the window.

        Args:
            window: Seconds for which recovery is promised.
            excused: When Redis itself lost what it had taken last: who came, or saw an event that is lost, at such a
                time, and lost its connection then, need not be known any more.
            history_lost: When what is kept for clients that are away was lost: who was away then begins anew.
        """
        spans, lost = list(excused), list(history_lost)

        def is_excused(one: NotRecovered) -> bool:
            return any(span.overlaps(one.left, one.back) for span in lost) or any(
                span.overlaps(one.left, one.back) and (one.saw_lost or span.overlaps(one.since, one.since))
                for span in spans
            )

        return [one for one in self.not_recovered if one.had_pid and one.away < window and not is_excused(one)]

    def denied(self, redis_faults: Iterable[Interval]) -> list[float]:
        """When it was given no pid although nothing was wrong with Redis.

        Args:
            redis_faults: When something was; a server may let clients in that it cannot recover then.
        """
        spans = list(redis_faults)
        return [at for at in self.without_pid if not any(span.overlaps(at, at) for span in spans)]


@dataclass(slots=True)
class _Stretch:
    begin: float
    since: dict[str, float]
    latest: dict[str, float] = field(default_factory=dict)  # group -> the latest start of an event that came
    saw_lost: bool = False


def prove(
    published: Sequence[Published],
    diaries: Iterable[Diary],
    order: Order = "all rooms",
    excused: Collection[str] = (),
) -> list[Verdict]:
    """Judge each client.

    Args:
        published: All that was given to publishers.
        diaries: What the clients saw, in the order in which they saw it.
        order: Within what events must be in order.
        excused: Ids of events that Redis itself lost.
    """
    by_id = {event.id: event for event in published}
    by_user: dict[str, list[Published]] = {}
    for event in published:
        by_user.setdefault(event.user, []).append(event)
    return [_judge(diary, by_id, by_user.get(diary.user, []), order, set(excused)) for diary in diaries]


def _judge(
    diary: Diary, by_id: Mapping[str, Published], of_user: Sequence[Published], order: Order, excused: set[str]
) -> Verdict:
    verdict = Verdict(diary.client, diary.user)

    def group_of(event: Published) -> str:
        return event.room if order == "room" else ""

    stretches = _read(diary, by_id, verdict, group_of, excused)
    got = {entry.detail for entry in diary.entries if entry.kind == "event"}
    _look_for_order(diary, by_id, verdict, group_of)
    for event in of_user:
        if event.outcome != "accepted" or event.id in got:
            continue
        match _fate(event, stretches, group_of(event)):
            case "missing" if event.id in excused:
                verdict.lost_by_redis.append(event.id)
            case "missing":
                verdict.missing.append(event.id)
            case "gap":
                verdict.gap.append(event.id)
            case "not due":
                pass
    return verdict


def _read(
    diary: Diary,
    by_id: Mapping[str, Published],
    verdict: Verdict,
    group_of: Callable[[Published], str],
    excused: set[str],
) -> list[_Stretch]:
    stretches: list[_Stretch] = []
    seen: set[str] = set()
    left = 0.0
    had_pid = True
    for entry in diary.entries:
        match entry.kind:
            case "connect":
                if stretches:
                    verdict.reconnects += 1
                if not (entry.flag and stretches):
                    if stretches:
                        before = stretches[-1]
                        verdict.not_recovered.append(
                            NotRecovered(left, entry.at, had_pid, before.begin, before.saw_lost)
                        )
                    stretches.append(_Stretch(entry.at, {IMPLIED: entry.at + SLACK}))
                had_pid = entry.pid
                if not had_pid:
                    verdict.without_pid.append(entry.at)
                verdict.connected, verdict.gave_up = True, ""
            case "disconnect" | "refused":
                if verdict.connected:
                    left = entry.at
                verdict.connected = False
                verdict.gave_up = entry.detail if entry.flag else ""
            case "subscribed" if stretches:
                stretches[-1].since.setdefault(entry.detail, entry.at + SLACK)
            case "event":
                event = by_id.get(entry.detail)
                if event is None or event.user != diary.user:
                    verdict.foreign.append(entry.detail)
                    continue
                if entry.detail in seen:
                    verdict.doubled.append(entry.detail)
                    continue
                seen.add(entry.detail)
                if event.outcome == "refused":
                    verdict.phantoms.append(event.id)
                if stretches:
                    latest, group = stretches[-1].latest, group_of(event)
                    latest[group] = max(latest.get(group, 0.0), event.started)
                    stretches[-1].saw_lost |= event.id in excused
            case _:
                pass
    verdict.received = len(seen)
    return stretches


def _look_for_order(
    diary: Diary, by_id: Mapping[str, Published], verdict: Verdict, group_of: Callable[[Published], str]
) -> None:
    seen: set[str] = set()
    latest: dict[str, float] = {}
    for entry in diary.entries:
        event = by_id.get(entry.detail) if entry.kind == "event" else None
        if event is None or event.id in seen:
            continue
        seen.add(event.id)
        group = group_of(event)
        # Of one without an answer nobody knows when it was accepted; of what came after it, one does.
        if event.outcome == "accepted" and event.ended < latest.get(group, 0.0):
            verdict.disordered.append(event.id)
        latest[group] = max(latest.get(group, 0.0), event.started)


def _fate(event: Published, stretches: Sequence[_Stretch], group: str) -> Literal["missing", "gap", "not due"]:
    """What it means that the client did not get this event."""
    number = sum(stretch.begin <= event.started for stretch in stretches) - 1
    if number < 0:
        return "not due"
    stretch = stretches[number]
    since = stretch.since.get(event.room)
    if since is None or event.started < since:
        # published before the client was in the room again, after a connection that was not recovered
        was_in = any(event.room in earlier.since for earlier in stretches[:number])
        return "gap" if was_in else "not due"
    if number == len(stretches) - 1 or stretch.latest.get(group, 0.0) > event.ended:
        return "missing"
    return "gap"


def problems(
    verdicts: Iterable[Verdict],
    window: float | None = None,
    excused: Sequence[Interval] = (),
    redis_faults: Sequence[Interval] = (),
    shown: int = 5,
    *,
    history_lost: Sequence[Interval] = (),
) -> list[str]:
    """What is wrong, one line each; empty if all is well.

    Args:
        verdicts: Of all clients.
        window: Seconds for which recovery is promised; None: it is not promised.
        excused: See `Verdict.broken_promises`.
        redis_faults: See `Verdict.denied`.
        shown: How many events a line names.
        history_lost: See `Verdict.broken_promises`.
    """
    found: list[str] = []
    for verdict in verdicts:
        kinds = {
            "missing": verdict.missing,
            "doubled": verdict.doubled,
            "out of order": verdict.disordered,
            "not its own": verdict.foreign,
        }
        for name, ids in kinds.items():
            if ids:
                more = f" and {len(ids) - shown} more" if len(ids) > shown else ""
                found.append(f"{verdict.client}: {len(ids)} {name}: {', '.join(ids[:shown])}{more}")
        if not verdict.connected:
            found.append(f"{verdict.client}: not connected in the end {verdict.gave_up}".rstrip())
        if window is not None:
            broken = verdict.broken_promises(window, excused, history_lost)
            if broken:
                away = ", ".join(f"{one.away:.1f}" for one in broken[:shown])
                found.append(
                    f"{verdict.client}: {len(broken)} of {verdict.reconnects} times not recovered, "
                    f"within the window of {window:g} s: {away} s away"
                )
            denied = verdict.denied(redis_faults)
            if denied:
                found.append(
                    f"{verdict.client}: {len(denied)} of {verdict.reconnects + 1} times let in without a pid "
                    "although nothing was wrong with Redis"
                )
    return found


COLUMNS = (
    ("received", lambda verdict: verdict.received),
    ("missing", lambda verdict: len(verdict.missing)),
    ("doubled", lambda verdict: len(verdict.doubled)),
    ("disorder", lambda verdict: len(verdict.disordered)),
    ("reconnects", lambda verdict: verdict.reconnects),
    ("unrecovered", lambda verdict: len(verdict.not_recovered)),
    ("no pid", lambda verdict: len(verdict.without_pid)),
    ("gap", lambda verdict: len(verdict.gap)),
    ("lost by Redis", lambda verdict: len(verdict.lost_by_redis)),
    ("phantoms", lambda verdict: len(verdict.phantoms)),
)  # type: tuple[tuple[str, Callable[[Verdict], int]], ...]


def table(verdicts: Sequence[Verdict], published: Sequence[Published]) -> str:
    """The verdicts for people, with what was published above them."""
    outcomes = Counter(event.outcome for event in published)
    longest = max((event.ended - event.started for event in published), default=0.0)
    lines = [
        f"published: {outcomes['accepted']} accepted, {outcomes['refused']} refused, {outcomes['unknown']} unknown; "
        f"the longest took {longest:.1f} s",
        f"{'client':<10}{'user':<8}" + "".join(f"{name:>{len(name) + 2}}" for name, _ in COLUMNS),
    ]
    rows = [(verdict.client, verdict.user, [read(verdict) for _, read in COLUMNS]) for verdict in verdicts]
    rows.append(("all", "", [sum(figures) for figures in zip(*(row[2] for row in rows), strict=True)]))
    for client, user, figures in rows:
        cells = zip(figures, COLUMNS, strict=False)
        lines.append(f"{client:<10}{user:<8}" + "".join(f"{figure:>{len(name) + 2}}" for figure, (name, _) in cells))
    return "\n".join(lines)
