"""Names of rooms: of which form they are, and how those of several namespaces are distinguished."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeGuard

NAMESPACE: Final = "/"
"""The main namespace; its rooms go by their own names."""
Room = str | int
"""A room: a string, or an integer, which names the same room as its decimal form."""
Rooms = Room | Iterable[Room]
"""A room, or several; who is in more than one of them counts once."""
# The form of a sid (`engine.ids.make_id`), alone or qualified.
_SID_ROOM = re.compile(r"(?:/[^,]*,)?[A-Za-z0-9_-]{20}", re.ASCII)


def qualify_room(namespace: str, room: str) -> str:
    """A room's name among those of all namespaces. Rooms of the main one have their own name, as ever."""
    return room if namespace == "/" else f"{namespace},{room}"


def room_name(room: object) -> str:
    """The name of a room: an integer stands for its decimal form, so `7` is the same room as `"7"`.

    Raises:
        TypeError: It is neither a string nor an integer. True and False are not integers here.
        ValueError: It is a text that cannot be sent (half of a surrogate pair is in it).
    """
    if isinstance(room, str):
        if not room.isascii():
            try:
                room.encode()
            except UnicodeEncodeError:
                raise ValueError("a room's name cannot hold half of a surrogate pair") from None
        return room
    if not isinstance(room, bool):
        try:
            return str(operator.index(room))  # type: ignore[arg-type]  # whatever is a whole number
        except TypeError:
            pass
    raise TypeError(f"a room must be a string or an integer, not {type(room).__name__}")


def room_names(rooms: Rooms) -> tuple[str, ...]:
    """One or several rooms (or sids) as several, each once.

    Raises:
        TypeError: One is neither a string nor an integer, or they are bytes or a mapping.
        ValueError: See `room_name`.
    """
    if _are_several(rooms):
        return tuple(dict.fromkeys(map(room_name, rooms)))
    return (room_name(rooms),)


def _are_several(rooms: Rooms) -> TypeGuard[Iterable[Room]]:
    return isinstance(rooms, Iterable) and not isinstance(rooms, str | bytes | bytearray | memoryview | Mapping)


def is_sid_room(room: str) -> bool:
    """Whether a room, by its qualified name, may be a client itself. A room of that form that is none does no harm."""
    return _SID_ROOM.fullmatch(room) is not None


def sid_of(room: str) -> str:
    """The sid in the qualified name of a client's own room."""
    return room.rpartition(",")[2]
