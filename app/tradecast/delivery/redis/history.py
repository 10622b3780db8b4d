"""Reads the history of a partition's rooms: what was published after a position, and whether anything is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tradecast.delivery.envelope import Envelope, Malformed, decode_envelope, read_origin
from tradecast.delivery.errors import HistoryLost
from tradecast.delivery.ids import id_span
from tradecast.delivery.recovery import is_as_noted, is_whole, merge_histories
from tradecast.delivery.redis.connections.endpoints import PartitionEndpoint
from tradecast.delivery.redis.connections.script_queue import FixedRequest, ScriptQueue
from tradecast.delivery.redis.cursor import PartitionCursor
from tradecast.delivery.redis.lua import READ
from tradecast.delivery.redis.options import BrokerObserver
from tradecast.delivery.retention import Retention

# Rooms that are read in one call.
ROOMS_PER_READ = 50


class Found(NamedTuple):
    """What was read of some rooms.

    Attributes:
        envelopes: By rising id, each once.
        position: Up to which id that is all there is.
        broken: Rooms of which something is missing.
    """

    envelopes: list[Envelope]
    position: int
    broken: set[str]


class HistoryReader:
    """Reads events of the history.

    Attributes:
        may_evict: Whether this Redis evicts keys; None: nobody knows. Where it does not, what a server or publisher of
            a version without notes published is there as long as it must be.
    """

    def __init__(
        self,
        endpoint: PartitionEndpoint,
        queue: ScriptQueue,
        retention: Retention,
        cursor: PartitionCursor,
        observer: BrokerObserver,
    ) -> None:
        self._prefix = endpoint.prefix
        self._common_keys = (f"{self._prefix}clock", f"{self._prefix}n")
        self._names_all_keys = endpoint.commands.names_all_keys
        self._queue = queue
        self._kept_seconds = retention.seconds
        self._cursor = cursor
        self._observer = observer
        self.may_evict: bool | None = None

    async def read(self, starts: Mapping[str, int], *, whole_state: bool = False) -> Found:
        """Read the events of each room after a position.

        Args:
            starts: The rooms with their positions.
            whole_state: Whether the newest of each latest key is read as well, where its id is not after the position.

        Raises:
            HistoryLost: Redis has another history by now.
            AdapterUnavailable: Redis did not answer in time.
        """
        parts: list[list[Envelope]] = []
        broken: set[str] = set()
        position: int | None = None
        rooms = list(starts)
        epoch = self._cursor.epoch
        for begin in range(0, max(len(rooms), 1), ROOMS_PER_READ):
            some = rooms[begin : begin + ROOMS_PER_READ]
            arguments: list[Any] = [self._prefix]
            for room in some:
                arguments += (room, starts[room])
            keys = list(self._common_keys)
            if self._names_all_keys:
                keys += [f"{self._prefix}{mark}{room}" for room in some for mark in ("h:", "l:")]
            request = FixedRequest(READ, [len(keys), *keys, *arguments])
            found, last, since, now, certain, begun, *answers = await self._queue.run(request)
            if found.decode() != epoch:
                raise HistoryLost("it is another history by now")
            # Complete up to the first call: what came after that may be in the later calls' rooms only.
            position = int(last) if position is None else position
            oldest = max(int(since or 0), int(now) - id_span(self._kept_seconds))
            for number, room in enumerate(some):
                first, trimmed, entries, latest, *noted = answers[7 * number : 7 * number + 7]
                start, ids = starts[room], ([int(one) for one in entries[::2]], _latest_ids(latest))
                sure = start >= int(begun if self.may_evict is False else certain)
                if not (
                    is_whole(start, int(first) if first else None, trimmed=bool(trimmed), oldest_certain=oldest)
                    and is_as_noted(start, ids, [int(one) for one in noted], sure=sure)
                ):
                    broken.add(room)
                parts.append(self._decode(room, start, entries, latest, whole_state=whole_state))
        merged = [envelope for envelope in merge_histories(parts) if envelope.id <= (position or 0)]
        return Found(merged, position or 0, broken)

    def _decode(
        self, room: str, start: int, entries: Sequence[bytes], latest: Sequence[bytes], *, whole_state: bool
    ) -> list[Envelope]:
        bodies = [(int(entries[i]), entries[i + 1]) for i in range(0, len(entries), 2)]
        for value in latest[1::2]:
            text, _, newest = value.partition(b" ")
            if text.isdigit() and (whole_state or int(text) > start):
                bodies.append((int(text), newest))
        found = []
        for event_id, body in bodies:
            try:
                origin, begin = read_origin(body)
                envelope = decode_envelope(body[begin:], room, event_id, origin)
            except Malformed:
                self._observer.message_skipped("malformed entry")
                continue
            if event_id > start or envelope.state_key is not None:  # else it has an offset, which says who has it
                found.append(envelope)
        return found


def _latest_ids(latest: Sequence[bytes]) -> list[int]:
    texts = [value.partition(b" ")[0] for value in latest[1::2]]
    return [int(text) for text in texts if text.isdigit()]
