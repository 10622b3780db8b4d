"""The table of docs/delivery.md, from what `events/kinds.py` declares; the rest of the page is written by hand."""

from __future__ import annotations

from pathlib import Path

from tradecast.delivery.envelope import COUNTED, LATEST
from tradecast.delivery.event_kinds import NAMES, EventKind
from tradecast.events.kinds import FEED, KINDS, describe_event

PAGE = Path(__file__).parents[1] / "docs" / "delivery.md"
BEGIN = "<!-- Written by `make docs` from app/tradecast/events/kinds.py -->\n"
END = "<!-- The end of what `make docs` writes -->\n"
HEAD = (
    "| event | kind (or, if its publisher says so) | while connected | on a slow link | after a lost connection "
    "| on subscription |\n| --- | --- | --- | --- | --- | --- |\n"
)
WORDS = {kind: name for name, kind in NAMES.items()}
CONNECTED = {
    COUNTED: "each one, once, in order",
    LATEST: "the newest of each {key}; at most so many a second (THROTTLE)",
}
SLOW = {COUNTED: "each one, in order", LATEST: "the newest of each {key}, in turn"}
RECOVERED = {COUNTED: "each one that was missed, in order", LATEST: "the newest of each {key}"}
# Each server sends this one to its own clients, as often as it is needed: it is in no history.
OF_THE_SERVER = (FEED.stale,)
NOTICE = ("notice of the server", *["each one, in order"] * 2, *["what is stale then"] * 2)


def page() -> str:
    """The page as it should be.

    Raises:
        ValueError: The page has no place for the table.
    """
    text = PAGE.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("docs/delivery.md has lost the comments around its table")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def table() -> str:
    """Which guarantee each event has."""
    rows = (_row(event, declared) for event, declared in KINDS.items())
    return HEAD + "".join(rows) + _row("any other", describe_event(""))


def _row(event: str, declared: EventKind) -> str:
    kind = declared.kind
    cells: tuple[str, ...] = NOTICE
    if event not in OF_THE_SERVER:
        others = ", ".join(WORDS[one] for one in declared.alternatives)
        texts = (one[kind].format(key=declared.key or "room") for one in (CONNECTED, SLOW, RECOVERED))
        cells = (WORDS[kind] + (f" ({others})" if others else ""), *texts, _on_subscription(event, declared))
    name = f"`{event}`" if event in KINDS else event
    return "| " + " | ".join((name, *cells)) + " |\n"


def _on_subscription(event: str, declared: EventKind) -> str:
    if declared.kind == LATEST:
        when = "on connecting: " if event == FEED.market else ""
        return f"{when}the newest of each {declared.key or 'room'}, as an event of its own"
    if not declared.recent:
        return "nothing"
    if event == "notification":
        return f"nothing; the last {declared.recent} in the answer to `notifications:recent`"
    return f"the last {declared.recent} of its room, in `recent` of the answer"
