"""Servers of aiohttp that a test starts, and how they end."""

from __future__ import annotations

import asyncio

from aiohttp import web

from tradecast.engine.uvicorn.server import stop_accepting


async def stop_sites(runner: web.AppRunner) -> None:
    """Take no more connections: before `runner.cleanup`, which then closes those that were just being accepted, too.

    A client that reconnects may connect in the very moment of the end. Nobody would close that connection but the
    garbage collector, in a later test (`stop_accepting`).
    """
    servers = [site._server for site in runner.sites]  # aiohttp does not publish them
    await stop_accepting(*(server for server in servers if isinstance(server, asyncio.Server)))


async def close_runner(runner: web.AppRunner) -> None:
    """Close a server and abort its connections, whatever waits for their clients to take it."""
    await stop_sites(runner)
    assert runner.server is not None
    for connection in runner.server.connections:
        if connection.transport is not None:
            connection.transport.abort()  # its client is gone: nobody may take what a close would wait for
    await runner.cleanup()
