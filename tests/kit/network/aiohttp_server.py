"""Servers of aiohttp that a test starts, and how they end."""

from __future__ import annotations

import asyncio

from aiohttp import web

from tradecast.engine.uvicorn.server import stop_accepting


async def close_runner(runner: web.AppRunner, *, aborts: bool = False) -> None:
    """Close a server, with every connection that it has, those included that it is accepting just now; once or again.

    A client that reconnects may connect in the very moment of the end. Nobody would close that connection but the
    garbage collector, in a later test (`stop_accepting`).

    Args:
        runner: The server.
        aborts: Whether connections end at once, since their clients are gone: nobody takes what a close waits for.
    """
    servers = [site._server for site in runner.sites]  # aiohttp does not publish them
    await stop_accepting(*(server for server in servers if isinstance(server, asyncio.Server)))
    if aborts and runner.server is not None:
        for connection in runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()
    await runner.cleanup()
