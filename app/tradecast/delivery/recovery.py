"""Decisions of connection state recovery: what a client may request, from where to read, and what is missing. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from tradecast.delivery.broker import RecoveryState
from tradecast.delivery.envelope import COUNTED, Envelope
from tradecast.delivery.ids import Offset
from tradecast.engine.ids import IdMaker

_make_pid = IdMaker(18)
_PID = re.compile(r"[A-Za-z0-9_-]{24}", re.ASCII)
# Of a client that came back: recovered, or why not.
Result = Literal[
    "recovered", "malformed", "unknown", "foreign_epoch", "future", "gap", "unavailable", "limited", "quota", "slow"
]
# Closes for slowness in a row after which a client starts a new session: replay does not get through to it.
MAX_SLOW_CLOSES: Final = 3
RESULTS: tuple[Result, ...] = get_args(Result)


def new_pid() -> str:
    """Make a private id: 144 random bits, as it is enough, with the user's session, to take over the connection."""
    return _make_pid()


@dataclass(frozen=True, slots=True)
class Request:
    """What a client requests in its CONNECT packet. None of it can be trusted.

    Attributes:
        wanted: Whether it is to be recoverable; `auth.recovery: false` says no.
        pid: The private id it was given before; None on a first connect.
        offset: The last offset it saw; None if it saw none, which some clients (Go's) say with an empty text.
        deltas: Whether it wants only what has changed of events that are declared so; `auth.deltas: true` says yes.
    """

    wanted: bool
    pid: object = None
    offset: object = None
    deltas: bool = False

    @classmethod
    def of(cls, auth: Any) -> Request:
        if not isinstance(auth, dict):
            return cls(wanted=True)
        offset = auth.get("offset")
        wanted, deltas = auth.get("recovery") is not False, auth.get("deltas") is True
        return cls(wanted, auth.get("pid"), None if offset == "" else offset, deltas)

    def valid_pid(self) -> str | None:
        """Validate a pid: return it if it has the right form, else None."""
        return self.pid if isinstance(self.pid, str) and _PID.fullmatch(self.pid) else None


def is_future(offset: Offset | None, latest: Sequence[int | None]) -> bool:
    """Whether an offset is beyond the last ids published (None where those were not asked for)."""
    return offset is not None and any(
        last is not None and seen > last for seen, last in zip(offset.ids, latest, strict=True)
    )


def find_ahead(said: Offset | None, valid: Offset | None) -> frozenset[int]:
    """The partitions in which a client has seen more of an earlier epoch than the current epoch has."""
    if said is None or valid is None:
        return frozenset()
    return frozenset(number for number, (has, seen) in enumerate(zip(valid.ids, said.ids, strict=True)) if has < seen)


def find_starts(
    session: RecoveryState, offset: Offset | None, partition_of: Mapping[str, int], rooms: Iterable[str]
) -> dict[str, int]:
    """The id after which each room is read: the last one that the client has seen, or that of its join if later."""
    found = {}
    for room in rooms:
        partition = partition_of[room]
        confirmed = session.confirmed[partition] if session.confirmed else 0
        seen = offset.ids[partition] if offset is not None else 0
        found[room] = max(session.joins[room], confirmed, seen)
    return found


def find_first_vector(
    begin: Mapping[str, int], offset: Offset | None, latest: Sequence[int | None], partition_of: Mapping[str, int]
) -> tuple[int, ...]:
    """Per partition, the id up to which a client certainly has all events before its replay begins."""
    found = []
    for partition, last in enumerate(latest):
        rooms = [begin[room] for room, its in partition_of.items() if its == partition]
        seen = offset.ids[partition] if offset is not None else 0
        found.append(max(seen, min(rooms)) if rooms else max(seen, last or 0))
    return tuple(found)


def is_for_client(envelope: Envelope, sid: str, begin: Mapping[str, int], joins: Mapping[str, int]) -> bool:
    """Whether an event is for a client that has everything of its rooms up to `begin`, and joined them at `joins`."""
    return _may_get(envelope, sid, begin, joins) and any(
        room in begin and envelope.id > begin[room] for room in envelope.rooms
    )


def is_for_returning_client(
    envelope: Envelope, sid: str, begin: Mapping[str, int], joins: Mapping[str, int], *, has_newer: bool = False
) -> bool:
    """Whether an event of the history is for a client that comes back; as `is_for_client`, but for latest events.

    Offsets say nothing of latest events: a newer counted event may have been sent while an older quote was still
    queued. So of each of its rooms the client gets the newest state, whatever it has seen and whenever it joined.

    Args:
        envelope: The event: of latest ones, the newest.
        sid: The client.
        begin: Up to which id it has everything else of each of its rooms.
        joins: When it joined them.
        has_newer: Whether it may have seen a newer state, which Redis has lost.
    """
    if has_newer or envelope.state_key is None:
        return is_for_client(envelope, sid, begin, joins)
    return _may_get(envelope, sid, begin, joins) and any(room in begin for room in envelope.rooms)


def _may_get(envelope: Envelope, sid: str, rooms: Collection[str], joins: Mapping[str, int]) -> bool:
    """Whether an event may go to a client that is in these rooms, whenever it was published."""
    if is_elsewhere(envelope, joins):
        return False
    return sid not in envelope.skip and not any(room in rooms for room in envelope.except_rooms)


def is_elsewhere(envelope: Envelope, joins: Mapping[str, int]) -> bool:
    """Whether a client is given this event in another partition, where it was in one of its rooms before."""
    elsewhere = envelope.elsewhere
    return bool(elsewhere) and any(at < elsewhere.get(room, 0) for room, at in joins.items())


def is_whole(start: int, first: int | None, *, trimmed: bool, oldest_certain: int) -> bool:
    """Whether a room's history holds everything after `start`.

    Redis does not say what it has trimmed, and a history that nobody writes to expires. So it is whole if it goes
    back to `start`, or if nothing was ever taken from it and its forerunner, if there was one, expired before `start`.

    Args:
        start: The position to read on from.
        first: The first id that is there; None if there is no history.
        trimmed: Whether anything was taken from it.
        oldest_certain: What is older than this may have expired.
    """
    if first is not None and first <= start:
        return True
    return not trimmed and start >= oldest_certain


def is_as_noted(start: int, found: Sequence[Collection[int]], noted: Sequence[int], *, sure: bool) -> bool:
    """Whether all that Redis has noted of a room exists; if keys were evicted or deleted, only the note shows it.

    Args:
        start: The position to read on from.
        found: The ids that were read of what counts, and of what is latest-wins.
        noted: The last id of either, and up to which id something is lost; 0: nothing is noted.
        sure: Whether all that was kept after `start` is noted.
    """
    *last, lost = noted
    if not sure or lost > start:
        return False
    return all(there <= start or max(ids, default=0) >= there for ids, there in zip(found, last, strict=True))


def merge_histories(parts: Iterable[Collection[Envelope]]) -> list[Envelope]:
    """Events of several rooms of a partition in one order. One that went to several of them is there once.

    Of events where the latest wins, one per room, event and key is left.
    """
    by_id: dict[int, Envelope] = {}
    for part in parts:
        for envelope in part:
            by_id.setdefault(envelope.id, envelope)
    merged: list[Envelope] = []
    newest: set[tuple[str, str, str]] = set()
    for event_id in sorted(by_id, reverse=True):
        envelope = by_id[event_id]
        if envelope.kind != COUNTED:
            key = (envelope.rooms[0], envelope.event, envelope.key)
            if key in newest:
                continue
            newest.add(key)
        merged.append(envelope)
    merged.reverse()
    return merged
