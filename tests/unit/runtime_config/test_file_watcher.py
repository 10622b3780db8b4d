"""A file that is written, replaced, swapped and removed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kit.waiting import eventually
from tradecast.background.tasks import cancel_and_wait
from tradecast.runtime_config.file_watcher import Content, Unreadable, WatchedFile

EVERY = 0.01


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def remove(path: Path) -> None:
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()


def link(path: Path, target: str) -> None:
    path.symlink_to(target)


def age(path: Path) -> None:
    os.utime(path, (1, 1))


make_folder = Path.mkdir
make_pipe = os.mkfifo


class Watching:
    """What was told of a file."""

    def __init__(self, path: Path, largest: int = 100) -> None:
        self.told: list[Content] = []
        self.file = WatchedFile(str(path), self, interval=EVERY, max_bytes=largest)
        self.task: asyncio.Task[None] | None = None

    def on_file_content(self, content: Content) -> None:
        self.told.append(content)

    async def start(self) -> None:
        await self.file.report_first()
        self.task = asyncio.create_task(self.file.run())

    async def comes(self, *contents: Content) -> None:
        await eventually(lambda: self.told == list(contents))

    async def stays(self, *contents: Content) -> None:
        await asyncio.sleep(10 * EVERY)
        assert self.told == list(contents)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "adapter.yaml"


@pytest.fixture
async def watching(path: Path) -> AsyncIterator[Watching]:
    made = Watching(path)
    yield made
    await cancel_and_wait(made.task)


async def test_what_is_there_at_first_is_reported_at_once(path: Path, watching: Watching) -> None:
    write(path, b"one")
    await watching.file.report_first()
    assert watching.told == [b"one"]


async def test_it_comes_and_changes_and_goes(path: Path, watching: Watching) -> None:
    await watching.start()
    assert watching.told == [None]
    write(path, b"one")
    await watching.comes(None, b"one")
    write(path, b"one")  # as it was
    await watching.stays(None, b"one")
    write(path, b"two")
    await watching.comes(None, b"one", b"two")
    remove(path)
    await watching.comes(None, b"one", b"two", None)


async def test_a_change_that_leaves_time_and_size_alike_is_seen(path: Path, watching: Watching) -> None:
    write(path, b"one")
    age(path)
    await watching.start()
    write(path, b"two")
    age(path)
    await watching.comes(b"one", b"two")


async def test_a_configmaps_swap_of_links_is_seen(path: Path, watching: Watching) -> None:
    """As the kubelet does: the file is a link through `..data`, which is replaced by renaming."""
    folder = path.parent

    def publish(number: int, content: bytes | None) -> None:
        version = folder / f"..version{number}"
        version.mkdir()
        if content is not None:
            (version / path.name).write_bytes(content)
        (folder / "..data_tmp").symlink_to(version.name)
        (folder / "..data_tmp").rename(folder / "..data")
        if not path.is_symlink():
            path.symlink_to(f"..data/{path.name}")

    publish(1, b"one")
    await watching.start()
    publish(2, b"two")
    await watching.comes(b"one", b"two")
    publish(3, None)  # the key is gone
    await watching.comes(b"one", b"two", None)
    publish(4, b"three")
    await watching.comes(b"one", b"two", None, b"three")


async def test_what_is_half_written_is_not_taken(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Content] = [b"one", b"history: 10", b"history: 100", b"history: 100", b"one"]
    looked = asyncio.Event()

    async def look(self: WatchedFile) -> Content:
        if len(looks) == 1:
            looked.set()
        return looks.pop(0) if len(looks) > 1 else looks[0]

    monkeypatch.setattr(WatchedFile, "_read", look)
    await watching.start()
    await looked.wait()
    await watching.comes(b"one", b"history: 100", b"one")


async def test_what_cannot_be_read_is_reported(path: Path, watching: Watching) -> None:
    make_folder(path)
    await watching.start()
    remove(path)
    write(path, b"x" * 100)
    await eventually(lambda: len(watching.told) == 2)
    write(path, b"x" * 101)
    await watching.comes(Unreadable("is no file"), b"x" * 100, Unreadable("has more than 100 bytes"))


async def test_a_pipe_holds_nothing_up(path: Path, watching: Watching) -> None:
    make_pipe(path)
    await watching.start()
    assert watching.told == [Unreadable("is no file")]


async def test_a_link_to_itself_is_unreadable_and_no_end(path: Path, watching: Watching) -> None:
    link(path, path.name)
    await watching.start()
    (told,) = watching.told
    assert isinstance(told, Unreadable)
    remove(path)
    write(path, b"one")
    await watching.comes(told, b"one")
