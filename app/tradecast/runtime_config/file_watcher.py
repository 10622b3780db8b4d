"""A file that may change, appear and disappear while the server runs."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LOOK_EVERY = 0.5
LARGEST = 65_536


@dataclass(frozen=True, slots=True)
class Unreadable:
    """There is something, and it cannot be read: why."""

    why: str


# None: there is no file.
Content = bytes | Unreadable | None


class WatchedFile:
    """Tells what is in a file, first and whenever that changes.

    It reads the whole file each time. So it does not matter whether that was written in place, replaced, or reached
    through symbolic links of which one was swapped, as Kubernetes does with a ConfigMap that is mounted. After the
    first time a content counts when it was found twice in a row, so that none is taken half written.

    Args:
        path: Where it is, or may be some day.
        on_change: Gets the content.
        every: Seconds between looks.
        largest: Bytes that it may have.
    """

    def __init__(
        self,
        path: str,
        on_change: Callable[[Content], None],
        *,
        every: float = LOOK_EVERY,
        largest: int = LARGEST,
    ) -> None:
        self._path = Path(path)
        self._on_change = on_change
        self._every = every
        self._largest = largest
        self._told: Content = None
        self._found: Content = None

    async def begin(self) -> None:
        """Tell what is there now."""
        self._told = self._found = await self._look()
        self._on_change(self._told)

    async def run(self) -> None:
        """Tell of changes, for good."""
        while True:
            await asyncio.sleep(self._every)
            content = await self._look()
            if content == self._found != self._told:
                self._told = content
                self._on_change(content)
            self._found = content

    async def _look(self) -> Content:
        return await asyncio.to_thread(_read, self._path, self._largest)  # it may be on a disk that is slow, or gone


def _read(path: Path, largest: int) -> Content:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe may wait for good
            return Unreadable("is no file")
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Unreadable(f"cannot be read: {error.strerror}")
    return content if len(content) <= largest else Unreadable(f"has more than {largest} bytes")
