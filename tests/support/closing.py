"""Closing a server of asyncio's: one that is closed in the moment in which a connection comes leaves that open."""

from __future__ import annotations

import asyncio


async def stop_accepting(server: asyncio.Server) -> None:
    """Take no more connections, and let those that are being accepted come to their handler."""
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
