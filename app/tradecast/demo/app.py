"""The demo on top of a server: its page, and its feed while the server runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tradecast.demo.feed import Feed
from tradecast.demo.page import demo_routes
from tradecast.demo.prices import PricesUnavailable
from tradecast.server import WebSocketServer

__all__ = ["PricesUnavailable", "run_demo"]


@contextlib.asynccontextmanager
async def run_demo(server: WebSocketServer, *, feed: bool = True) -> AsyncIterator[Feed]:
    """Add the demo to an initialized server that is not served yet.

    Args:
        server: Gets the page's routes.
        feed: Whether prices are replayed in this process; of several servers on one Redis, one does it.

    Raises:
        PricesUnavailable: The extra is missing, or has no prices from DEMO_START on.
        ValueError: DEMO_START is no date.
    """
    source = Feed(server, server.settings)
    server.add_public_routes(demo_routes(server.sessions, source, server.settings))
    task = asyncio.create_task(source.run(), name="demo feed") if feed else None
    try:
        yield source
    finally:
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
