"""A server of ours for bench/fleet: `tradecast serve` for clients without sessions that join rooms by name.

Settings come from the environment. It says its port on standard output.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import uvloop

from tradecast.bootstrap.ports import create_process
from tradecast.config.settings import load_settings
from tradecast.connections.connection import Connection
from tradecast.lifecycle.process import tune_garbage_collection
from tradecast.server import WebSocketServer


async def unlimited(connection: Connection) -> None:
    """Clients that come from one address, and are many."""


async def join(connection: Connection, rooms: Any) -> dict[str, int]:
    """Join rooms, and answer when nothing of them is missed any more."""
    await asyncio.gather(*(connection.join(room) for room in rooms))
    return {"joined": len(rooms)}


async def serve() -> None:
    """Serve until SIGTERM."""
    server = WebSocketServer(load_settings())
    server.set_rate_limit_middleware(unlimited)
    server.register_event_handler("join", join)
    await server.initialize()
    process = create_process(server)
    await process.start()
    tune_garbage_collection()
    print(json.dumps({"port": process.ports["public"]}), flush=True)
    await process.run_until_signal()
    await server.shutdown()


if __name__ == "__main__":
    uvloop.run(serve())
