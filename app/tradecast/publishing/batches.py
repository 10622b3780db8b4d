"""Events of a batch as dicts, in the form that `POST /api/emit` takes, and the emitters that they belong to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tradecast.delivery.event_kinds import KindName
from tradecast.events.emitters import Emitters
from tradecast.packets.room_names import Rooms

# Events that are on their way at the same time: a longer batch goes in several parts, one after the other.
EVENTS_AT_ONCE: Final = 1_000


class _Form(NamedTuple):
    emitter: str
    subject: str
    payload: str


# What is sent without a subject has "".
FORMS: Final[Mapping[str, _Form]] = {
    "portfolio:update": _Form("emit_portfolio_update", "userId", "portfolio"),
    "trade:executed": _Form("emit_trade_executed", "userId", "trade"),
    "trade:failed": _Form("emit_trade_failed", "userId", "failure"),
    "position:closed": _Form("emit_position_closed", "userId", "position"),
    "notification": _Form("emit_notification", "userId", "notification"),
    "watchlist:quote": _Form("emit_watchlist_quote", "symbol", "quote"),
    "market:status": _Form("emit_market_status", "", "status"),
}


class BatchEmitter(Emitters, ABC):
    """Emits events of the contract, and any others: `Publisher`."""

    @abstractmethod
    async def emit(
        self,
        event: str,
        data: Any = None,
        *,
        to: Rooms,
        except_rooms: Rooms = (),
        skip_sid: str | Sequence[str] = (),
        volatile: bool = False,
        kind: KindName | None = None,
    ) -> None:
        """Send any event to rooms on every server."""


async def emit_described(publisher: BatchEmitter, event: object) -> None:
    """Emit an event of a batch.

    Args:
        publisher: Emits it.
        event: `{"event": "trade:executed", "userId": …, "trade": …}` and so on, as for `/api/emit`; with `to`, any
            event to rooms: `{"event": …, "to": …, "data": …}`. Each may have a `kind`.

    Raises:
        ValueError: It has not that form. Else as the emitter.
    """
    if not isinstance(event, Mapping) or not isinstance(event.get("event"), str):
        raise ValueError("an event of a batch is a mapping with its name as event")
    name = event["event"]
    form = FORMS.get(name)
    if "to" in event:
        _check_fields(event, {"to"}, {"data"})
        await publisher.emit(name, event.get("data"), to=event["to"], kind=event.get("kind"))
    elif form is None:
        raise ValueError("an event that is not of the contract says in to which rooms it goes")
    else:
        subject = {form.subject} if form.subject else set()
        _check_fields(event, {*subject, form.payload}, set())
        arguments = [event[field] for field in (form.subject, form.payload) if field]
        await getattr(publisher, form.emitter)(*arguments, kind=event.get("kind"))


def _check_fields(event: Mapping[str, Any], needed: set[str], optional: set[str]) -> None:
    fields = set(event) - {"event", "kind"}
    for missing in sorted(needed - fields):
        raise ValueError(f"{event['event']} needs {missing}")
    for unknown in sorted(map(str, fields - needed - optional)):
        raise ValueError(f"{event['event']} has no field {unknown[:64]}")
