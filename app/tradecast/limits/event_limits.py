"""Which limits an event counts against. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tradecast.config.settings import Settings
from tradecast.limits.rates import Check

GLOBAL: Final = "global"
_TOPICS: Final = ("portfolio", "trades", "watchlist")


class EventLimits:
    """The limits of all events: the global one, and the event's own.

    Args:
        settings: The RATE_LIMIT_ settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._checks = event_checks(settings)
        self._default: Sequence[Check] = ((GLOBAL, settings.rate_limit_global),)
        self._any_subscribe = (*self._default, ("subscribe:*", settings.rate_limit_subscribe))
        self._any_unsubscribe = (*self._default, ("unsubscribe:*", settings.rate_limit_unsubscribe))

    def of(self, event: str) -> Sequence[Check]:
        """The limits of one event."""
        checks = self._checks.get(event)
        if checks is not None:
            return checks
        # Names come from clients: all that are not the contract's share one limit, or memory would grow with them.
        if event.startswith("subscribe:"):
            return self._any_subscribe
        if event.startswith("unsubscribe:"):
            return self._any_unsubscribe
        return self._default


def event_checks(settings: Settings) -> dict[str, Sequence[Check]]:
    """The limits of each event of the contract (docs/client.md): the global one and the event's own."""
    own = {f"subscribe:{topic}": settings.rate_limit_subscribe for topic in _TOPICS}
    own |= {f"unsubscribe:{topic}": settings.rate_limit_unsubscribe for topic in _TOPICS}
    own |= {"admin:broadcast": settings.rate_limit_broadcast, "session:refresh": settings.rate_limit_refresh}
    own["notifications:recent"] = settings.rate_limit_subscribe
    return {event: ((GLOBAL, settings.rate_limit_global), (event, limit)) for event, limit in own.items()}
