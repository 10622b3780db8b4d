# ruff: noqa: ASYNC110 - what is waited for here is in another process, or told to nobody
"""What a local broadcast costs per recipient: our manager against python-socketio's own, in one run.

Each server runs in a process of its own and is asked by its own event loop to broadcast; the clients are plain
WebSockets in a third process that read and count. Figures are the server process's CPU time per delivered message.
Load stays on 127.0.0.1.

    make bench-broadcast
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import statistics
import time
from multiprocessing.connection import Connection
from typing import Any

import socketio
import uvicorn
import uvloop
from websockets.asyncio.client import connect

from tradecast.packets.rooms import LocalManager
from tradecast.engine import EngineServer

QUOTE = {
    "symbol": "AAPL",
    "quote": {"price": 512.34, "change": -1.2, "volume": 123456},
    "timestamp": "2026-01-01T00:00:00.000Z",
}


class Plain(socketio.AsyncServer):
    """python-socketio as it comes."""


class Ours(socketio.AsyncServer):
    """python-socketio over our engine seam."""

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def serve(kind: str, port: int, control: Connection) -> None:
    """Serve until told to stop; on ("broadcast", n) emit n events and answer with the CPU seconds that it took."""
    sio: Any = Ours(LocalManager()) if kind == "ours" else Plain(async_mode="asgi")
    app = socketio.ASGIApp(sio)
    options: dict[str, Any] = {"ws": "websockets-sansio", "ws_per_message_deflate": False, "ws_ping_interval": None}
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", access_log=False, **options)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    control.send("ready")
    while True:
        while not control.poll():
            await asyncio.sleep(0.01)
        command, count = control.recv()
        if command == "stop":
            break
        before = cpu_seconds()
        for _ in range(count):
            await sio.emit("watchlist:quote", QUOTE)
            await asyncio.sleep(0.02)
        while any(not socket.queue.empty() for socket in sio.eio.sockets.values()):
            await asyncio.sleep(0.01)
        control.send(cpu_seconds() - before)
    server.should_exit = True
    await task


async def clients(port: int, count: int, control: Connection) -> None:
    received = 0

    async def client() -> None:
        nonlocal received
        async with connect(f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket", compression=None) as ws:
            await ws.recv()
            await ws.send("40")
            await ws.recv()
            async for message in ws:
                if message == "2":
                    await ws.send("3")
                elif isinstance(message, str) and message.startswith("42"):
                    received += 1

    tasks = []
    for index in range(count):
        tasks.append(asyncio.create_task(client()))
        if index % 50 == 49:
            await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    control.send("ready")
    while True:
        while not control.poll():
            await asyncio.sleep(0.01)
        if control.recv() == "stop":
            break
        control.send(received)
    for task in tasks:
        task.cancel()


def run_serve(kind: str, port: int, control: Connection) -> None:
    uvloop.run(serve(kind, port, control))


def run_clients(port: int, count: int, control: Connection) -> None:
    uvloop.run(clients(port, count, control))


def answer(control: Connection) -> Any:
    """What the other process says; an end where it says nothing, for instance because it failed."""
    if not control.poll(120):
        raise SystemExit("no answer from a process of the benchmark")
    return control.recv()


def measure(kind: str, port: int, count: int, events: int) -> float:
    """CPU microseconds of the server per delivered message."""
    context = multiprocessing.get_context("spawn")
    server_end, server_other = context.Pipe()
    client_end, client_other = context.Pipe()
    server = context.Process(target=run_serve, args=(kind, port, server_other), daemon=True)
    server.start()
    answer(server_end)
    crowd = context.Process(target=run_clients, args=(port, count, client_other), daemon=True)
    crowd.start()
    answer(client_end)
    server_end.send(("broadcast", events))
    seconds = answer(server_end)
    deadline = time.monotonic() + 10
    delivered = 0
    while delivered < count * events and time.monotonic() < deadline:
        client_end.send("count")
        delivered = answer(client_end)
        time.sleep(0.05)
    client_end.send("stop")
    crowd.join(5)
    server_end.send(("stop", 0))
    server.join(10)
    if delivered != count * events:
        raise SystemExit(f"{kind}: {delivered} of {count * events} messages arrived")
    return seconds / (count * events) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--events", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    figures: dict[str, list[float]] = {"python-socketio": [], "ours": []}
    for run in range(options.runs):
        for offset, kind in enumerate(figures):
            figure = measure(kind, 18_100 + 2 * run + offset, options.clients, options.events)
            figures[kind].append(figure)
            print(f"run {run + 1}: {kind}: {figure:.1f} µs of CPU per recipient", flush=True)
    medians = {kind: statistics.median(values) for kind, values in figures.items()}
    ratio = medians["python-socketio"] / medians["ours"]
    rounded = {kind: round(value, 1) for kind, value in medians.items()}
    print(json.dumps({"clients": options.clients, **rounded, "ratio": round(ratio, 1)}))


if __name__ == "__main__":
    main()
