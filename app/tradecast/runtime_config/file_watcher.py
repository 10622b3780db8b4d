"""A file that may change, appear and disappear while the server runs."""

from __future__ import annotations

import asyncio
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

POLL_INTERVAL = 0.5
MAX_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something is at the path and cannot be read: why."""

    why: str


# None: there is no file.
Content = bytes | Unreadable | None


class FileListener(Protocol):
    """Receives the contents of a watched file."""

    def on_file_content(self, content: Content) -> None:
        """The file has this content: the first one, or another one than before."""
        ...


class WatchedFile:
    """Reports what is in a file, first and whenever that changes.

    It reads the whole file each time. So it does not matter whether that was written in place, replaced, or reached
    through symbolic links of which one was swapped, as Kubernetes does with a ConfigMap that is mounted. After the
    first time a content counts when it was found twice in a row, so that none is taken half written.

    Args:
        path: Where the file is, or may appear.
        listener: Receives the contents.
        interval: Seconds between reads.
        max_bytes: Size that the file may have.
    """

    def __init__(
        self, path: str, listener: FileListener, *, interval: float = POLL_INTERVAL, max_bytes: int = MAX_BYTES
    ) -> None:
        self._path = Path(path)
        self._listener = listener
        self._interval = interval
        self._max_bytes = max_bytes
        self._reported: Content = None
        self._found: Content = None

    async def report_first(self) -> None:
        """Report what is there now."""
        self._reported = self._found = await self._read()
        self._listener.on_file_content(self._reported)

    async def run(self) -> None:
        """Report changes until the task is cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            content = await self._read()
            if content == self._found != self._reported:
                self._reported = content
                self._listener.on_file_content(content)
            self._found = content

    async def _read(self) -> Content:
        return await asyncio.to_thread(_read_file, self._path, self._max_bytes)  # the disk may be slow, or gone


def _read_file(path: Path, max_bytes: int) -> Content:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe may wait for ever
            return Unreadable("is no file")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return Unreadable(f"cannot be read: {error.strerror}")
    return content if len(content) <= max_bytes else Unreadable(f"has more than {max_bytes} bytes")
