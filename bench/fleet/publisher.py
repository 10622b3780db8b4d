"""Publishes numbered events through our `Publisher`; the same as node/publisher.mjs, line by line."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import uvloop

from fleet.lines import obey
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.publishing.publisher import Publisher

STEP = 7919


async def main() -> None:
    """Publish what is asked for."""
    failed = 0
    async with Publisher() as publisher:

        async def emit(room: str, payload: dict[str, Any]) -> None:
            nonlocal failed
            try:
                await publisher.emit_to_room(room, "trade:executed", payload)
            except AdapterUnavailable:
                failed += 1

        async def publish(first: int, count: int, rate: float, rooms: int) -> dict[str, Any]:
            nonlocal failed
            failed = sent = 0
            begun = time.monotonic()
            async with asyncio.TaskGroup() as group:
                while sent < count:
                    due = min(count, int((time.monotonic() - begun) * rate))
                    for n in range(first + sent, first + due):
                        trade = {"symbol": "AAPL", "side": "buy", "quantity": 25, "price": 512.34, "id": f"t-{n}"}
                        payload = {"trade": trade, "n": n, "at": time.monotonic_ns()}
                        group.create_task(emit(f"room:{n * STEP % rooms}", payload))
                    sent = due
                    await asyncio.sleep(0.001)
            return {"published": count, "failed": failed, "seconds": time.monotonic() - begun}

        await obey(publish=publish)


if __name__ == "__main__":
    uvloop.run(main())
