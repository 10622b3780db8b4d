"""Which clients a request is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tradecast.adapter.envelope import Malformed


@dataclass(frozen=True, slots=True)
class Selection:
    """Clients by their rooms, on whichever server.

    Attributes:
        rooms: Who is in one of these, or has one of them as its sid; None: everybody.
        except_rooms: But not who is in one of these.
        skip: Nor these sids.
    """

    rooms: tuple[str, ...] | None = None
    except_rooms: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        rooms: str | Sequence[str] | None,
        except_rooms: str | Sequence[str] = (),
        skip: str | Sequence[str] = (),
    ) -> Selection:
        """As callers say it. A text is one room."""
        return cls(None if rooms is None else texts(rooms), texts(except_rooms), texts(skip))

    def body(self) -> dict[str, Any]:
        """As servers tell it each other."""
        said: dict[str, Any] = {"r": self.rooms}
        said |= {"x": self.except_rooms} if self.except_rooms else {}
        said |= {"s": self.skip} if self.skip else {}
        return said

    @classmethod
    def parse(cls, body: Any) -> Selection:
        """From a request's body. Raises Malformed."""
        if not isinstance(body, dict) or "r" not in body:
            raise Malformed("no selection")
        rooms = body["r"]
        return cls(None if rooms is None else listed(rooms), listed(body.get("x", [])), listed(body.get("s", [])))


def texts(given: str | Sequence[str]) -> tuple[str, ...]:
    """One or several rooms or sids, as several, each once."""
    return (given,) if isinstance(given, str) else tuple(dict.fromkeys(given))


def listed(value: Any) -> tuple[str, ...]:
    """A list of texts in a body. Raises Malformed."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Malformed("no list of texts")
    return tuple(value)
