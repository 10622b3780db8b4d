"""A server with handlers for events of other servers, as a program of its own (`python cluster_server.py`)."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from tradecast.bootstrap.ports import create_process
from tradecast.server import WebSocketServer


def add_handlers(server: WebSocketServer, told: list[Any] | None = None) -> None:
    """Events that servers of the tests know."""
    heard: list[Any] = [] if told is None else told

    async def add(one: int, other: int) -> dict[str, int]:
        return {"sum": one + other, "pid": os.getpid()}

    async def never() -> None:
        await asyncio.Event().wait()

    def fail() -> None:
        raise RuntimeError("it must not be told to others: u1")

    server.register_server_event_handler("add", add)
    server.register_server_event_handler("echo", lambda *args: list(args))
    server.register_server_event_handler("never", never)
    server.register_server_event_handler("fail", fail)
    server.register_server_event_handler("note", heard.append)
    server.register_server_event_handler("noted", lambda: heard)


async def main() -> None:
    server = WebSocketServer()
    add_handlers(server)
    await server.initialize()
    process = create_process(server)
    await process.start()
    await process.run_until_signal()
    await server.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
