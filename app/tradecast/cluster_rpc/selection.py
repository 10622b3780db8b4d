"""Which clients a request is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tradecast.delivery.envelope import Malformed
from tradecast.packets.room_names import Rooms, room_names


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
        rooms: Rooms | None,
        except_rooms: Rooms = (),
        skip: str | Iterable[str] = (),
    ) -> Selection:
        """As callers say it. Raises as `room_names`."""
        return cls(None if rooms is None else room_names(rooms), room_names(except_rooms), room_names(skip))

    def body(self) -> dict[str, Any]:
        """As servers send it to each other."""
        body: dict[str, Any] = {"r": self.rooms}
        body |= {"x": self.except_rooms} if self.except_rooms else {}
        body |= {"s": self.skip} if self.skip else {}
        return body

    @classmethod
    def parse(cls, body: Any) -> Selection:
        """From a request's body. Raises Malformed."""
        if not isinstance(body, dict) or "r" not in body:
            raise Malformed("no selection")
        rooms = body["r"]
        return cls(
            None if rooms is None else parse_texts(rooms),
            parse_texts(body.get("x", [])),
            parse_texts(body.get("s", [])),
        )


def parse_texts(value: Any) -> tuple[str, ...]:
    """A list of texts in a body. Raises Malformed."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Malformed("no list of strings")
    return tuple(value)
