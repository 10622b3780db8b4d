"""The demo on top of a server: its page, and its feed while the server runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tradecast.background.tasks import cancel_and_wait
from tradecast.demo.feed import Feed
from tradecast.demo.follower import follow_feed
from tradecast.demo.page import demo_routes
from tradecast.demo.prices import PricesUnavailable
from tradecast.server import WebSocketServer

__all__ = ["PricesUnavailable", "run_demo"]


@contextlib.asynccontextmanager
async def run_demo(server: WebSocketServer, *, feed: bool = True) -> AsyncIterator[Feed]:
    """Add the demo to an initialized server that is not served yet.

    Args:
        server: Gets the page's routes.
        feed: Whether prices are replayed in this process; without, the server follows the feed that publishes through
            Redis.

    Raises:
        PricesUnavailable: The extra is missing, or has no prices from DEMO_START on.
        ValueError: DEMO_START is no date.
    """
    source = Feed(server, server.settings)
    server.add_public_routes(demo_routes(server.sessions, source, server.settings))
    work = source.run() if feed else follow_feed(source, server.redis) if server.redis is not None else None
    task = asyncio.create_task(work, name="demo feed") if work is not None else None
    try:
        yield source
    finally:
        await cancel_and_wait(task)
