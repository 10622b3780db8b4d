"""Sessions that a store has lost, and nobody has ended: another instance of Redis, and nearly all of them gone."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Final

# At least this many connected sessions, of which this percentage is gone at one poll. Fewer are people who log out.
LEAST: Final = 20
PERCENT: Final = 90
# Seconds for which the store counts as away, from the first loss on.
LONGEST: Final = 900.0


def find_lost(
    instances: Mapping[str, str], now: Callable[[str], str], gone: Collection[str], active: Collection[str]
) -> set[str]:
    """Which sessions the store has lost, of those that are gone.

    Args:
        instances: For each connected session the instance that had it at the last poll, "" if that is not known.
        now: The instance that would keep a session now, "" if that is not known.
        gone: Connected sessions that are not there at this poll.
        active: All connected sessions.
    """
    by_instance: dict[str, set[str]] = defaultdict(set)
    for session_id in active:
        before, after = instances.get(session_id, ""), now(session_id)
        if before and after and before != after:
            by_instance[before].add(session_id)
    lost: set[str] = set()
    # In a cluster each instance alone, and all replaced instances together.
    for sessions in (*by_instance.values(), set().union(*by_instance.values())):
        missing = sessions.intersection(gone)
        if len(sessions) >= LEAST and 100 * len(missing) >= PERCENT * len(sessions):
            lost |= missing
    return lost


class MassLoss:
    """How long a store that has lost nearly all sessions counts as away, and which connections continue meanwhile.

    Args:
        longest: Seconds from the first loss on. A further loss does not extend it.
        clock: Unix time in seconds, which other servers share.
    """

    def __init__(self, longest: float = LONGEST, clock: Callable[[], float] = time.time) -> None:
        self._longest = longest
        self._clock = clock
        self._lost: set[str] = set()
        self.until = 0.0

    @property
    def active(self) -> bool:
        """Whether the store counts as away."""
        return self._clock() < self.until

    @property
    def lost(self) -> frozenset[str]:
        """The sessions whose connections continue though the store has lost them."""
        return frozenset(self._lost)

    def begin(self, lost: Collection[str], until: float | None = None) -> None:
        """These are lost; `until`, where another server has found that out before."""
        if not self.active:
            self.until = self._clock() + self._longest if until is None else until
        self._lost.update(lost)

    def keep(self, gone: Collection[str]) -> set[str]:
        """The missing sessions that continue. One that is in the store again is no longer a lost one."""
        if not self.active:
            self._lost.clear()
        self._lost.intersection_update(gone)
        return set(self._lost)

    def end(self) -> None:
        """End the loss: all sessions were revoked."""
        self.until = 0.0
        self._lost.clear()
