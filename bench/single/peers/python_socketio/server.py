"""(d) python-socketio as it comes, on uvicorn and uvloop, with the benchmark's three events and no other features.

    server.py

Says its port on standard output. Access lines are off, as the other bare servers write none.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import socketio
import uvicorn
import uvloop

ROOM = "authenticated"
PORTFOLIO = {"totalValue": 125430.5, "dayChange": -312.25, "dayChangePercent": -0.25}
sio = socketio.AsyncServer(async_mode="asgi", ping_interval=120, ping_timeout=60)


def timestamp() -> str:
    """Now, as JavaScript's `toISOString`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@sio.event
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, str]) -> None:
    """Let everybody in."""
    await sio.save_session(sid, {"user": auth["userId"]})
    await sio.enter_room(sid, ROOM)


@sio.event
async def echo(sid: str, data: Any) -> Any:
    """Acknowledge."""
    return data


@sio.on("subscribe:portfolio")
async def subscribe(sid: str) -> dict[str, Any]:
    """Join, confirm, acknowledge."""
    user = (await sio.get_session(sid))["user"]
    await sio.enter_room(sid, f"portfolio:{user}")
    answer = {"success": True, "userId": user, "timestamp": timestamp()}
    await sio.emit("subscribed:portfolio", answer, to=sid)
    return answer


@sio.on("bench:broadcast")
async def broadcast(sid: str, data: dict[str, int]) -> None:
    """Send so many portfolio updates to everybody."""
    for _ in range(data["count"]):
        update = {"userId": "user-000000", "portfolio": PORTFOLIO, "timestamp": timestamp()}
        await sio.emit("portfolio:update", update, room=ROOM)


async def serve() -> None:
    """Serve until killed."""
    config = uvicorn.Config(socketio.ASGIApp(sio), host="127.0.0.1", port=0, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 it tells nobody
        await asyncio.sleep(0.01)
    print(json.dumps({"port": server.servers[0].sockets[0].getsockname()[1]}), flush=True)
    await serving


if __name__ == "__main__":
    uvloop.run(serve())
