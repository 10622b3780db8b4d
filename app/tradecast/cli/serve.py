"""`tradecast serve`: a server, in production."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import click

from tradecast.bootstrap.ports import create_process
from tradecast.cli.startup import configure_process, read_settings, run_command
from tradecast.config.settings import Settings
from tradecast.lifecycle.open_files import raise_file_limit
from tradecast.lifecycle.process import Process, tune_garbage_collection
from tradecast.server import WebSocketServer


@click.command()
def serve() -> None:
    """Run a server, with settings from the environment.

    It needs a session store that other programs can write to: set MONGODB_URI or REDIS_URL. Without either, sessions
    are in memory and are created through the admin port (`tradecast session create`).
    """
    settings = read_settings()
    configure_process(settings)
    run_command(_serve_until_signal(settings))


async def _serve_until_signal(settings: Settings) -> None:
    async with initialized_server(settings) as server:
        process = await open_ports(server)
        await process.run_until_signal()


@contextlib.asynccontextmanager
async def initialized_server(settings: Settings) -> AsyncIterator[WebSocketServer]:
    """A server that is connected to what it needs, and has no ports yet."""
    raise_file_limit()
    server = WebSocketServer(settings)
    await server.initialize()
    try:
        yield server
    finally:
        await server.shutdown()


async def open_ports(server: WebSocketServer) -> Process:
    """Serve the server's ports in this process."""
    process = create_process(server)
    await process.start()
    tune_garbage_collection()
    return process
