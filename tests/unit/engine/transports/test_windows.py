"""Messages that wait for others for a moment: one timer for all clients."""

from __future__ import annotations

import asyncio

from kit.waiting import eventually
from tradecast.engine.transports.windows import Windows


class Transport:
    """Notes when it is flushed."""

    def __init__(self) -> None:
        self.flushes = 0

    def flush(self) -> None:
        self.flushes += 1


async def test_all_are_flushed_when_the_window_closes() -> None:
    windows, first, second = Windows(), Transport(), Transport()
    windows.add(first, 0.02)
    windows.add(second, 0.02)
    assert (first.flushes, second.flushes) == (0, 0)
    await eventually(lambda: (first.flushes, second.flushes) == (1, 1))
    windows.add(first, 0.02)
    await eventually(lambda: first.flushes == 2)
    assert second.flushes == 1


async def test_a_shorter_window_closes_the_longer_one_too() -> None:
    windows, patient, hurried = Windows(), Transport(), Transport()
    windows.add(patient, 3_600)
    windows.add(hurried, 0.01)
    await eventually(lambda: hurried.flushes == 1)
    assert patient.flushes == 1


async def test_a_longer_window_does_not_move_the_shorter_one() -> None:
    windows, transport = Windows(), Transport()
    windows.add(transport, 0.01)
    windows.add(transport, 3_600)
    await eventually(lambda: transport.flushes == 2)


async def test_nothing_is_flushed_once_it_is_closed() -> None:
    windows, transport = Windows(), Transport()
    windows.add(transport, 0.0)
    windows.close()
    for _ in range(3):
        await asyncio.sleep(0)
    assert transport.flushes == 0
