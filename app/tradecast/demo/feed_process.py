"""The demo's feed as a process of its own, which publishes for several servers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog

from tradecast.background.tasks import PATIENCE, cancel_and_wait
from tradecast.bootstrap.metrics import ServerMetrics
from tradecast.config.settings import Settings
from tradecast.demo.feed import Feed
from tradecast.demo.lead import RENEW_SECONDS, Lead, read_ticks
from tradecast.http.app import create_app
from tradecast.http.health import health_routes
from tradecast.http.metrics_page import metrics_route
from tradecast.lifecycle.process import Listener, Process, ProcessHooks
from tradecast.observability.health import REDIS, Health
from tradecast.publishing.publisher import Publisher
from tradecast.redis_client.errors import FAILURES, explain_redis
from tradecast.redis_client.peer import Explainer

log = structlog.stdlib.get_logger("tradecast.demo")


class FeedProcess(ProcessHooks):
    """A feed for a whole fleet. Of several, one publishes and the others wait to take its place.

    Args:
        settings: REDIS_URL, the demo's settings, ADMIN_HOST and ADMIN_PORT for health and metrics.
        version: Of the program, for the metrics.

    Raises:
        SettingsError: There is no REDIS_URL.
        PricesUnavailable: See `Feed`.
        ValueError: See `Feed`.
    """

    def __init__(self, settings: Settings, version: str = "") -> None:
        self._metrics = ServerMetrics(version)
        self._publisher = Publisher(settings, self._metrics.delivery)
        self._feed = Feed(self._publisher, settings)
        self._lead = Lead(self._publisher.redis)
        self._health = Health(observer=self._metrics.dependencies)
        redis = self._publisher.redis
        self._health.register(REDIS, redis, Explainer(redis.place))
        routes = [*health_routes(self._health, private=True), metrics_route(self._metrics)]
        listener = Listener("admin", create_app(routes), settings.admin_host, settings.admin_port)
        self._process = Process([listener], self, grace=settings.shutdown_timeout)
        self._feeding: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Feed until SIGINT or SIGTERM.

        Raises:
            PortInUse: The admin port is taken.
        """
        await self._process.start()
        health = asyncio.create_task(self._health.run(), name="health")
        self._feeding = asyncio.create_task(self._lead_and_feed(), name="feed")
        serving = asyncio.create_task(self._process.run_until_signal(), name="serve")
        try:
            await asyncio.wait([serving, self._feeding], return_when=asyncio.FIRST_COMPLETED)
            if not serving.done() and not self._feeding.cancelled():
                serving.cancel()
                self._feeding.result()  # it ends by being stopped, or by an error that is ours
            await serving
        finally:
            health.cancel()
            await self._publisher.close()

    async def before_stop(self) -> None:
        """End the feed, and let another one publish."""
        if self._feeding is not None:
            await _stop_task(self._feeding)
        with contextlib.suppress(*FAILURES):
            await self._lead.release()

    async def _lead_and_feed(self) -> None:
        while True:
            await self._take_the_lead()
            async with _run_feed(self._feed):
                await self._keep_the_lead()
            log.warning("another feed has taken over")

    async def _take_the_lead(self) -> None:
        waiting = False
        while True:
            try:
                if await self._lead.claim():
                    self._feed.go_to(await read_ticks(self._publisher.redis))
                    log.info("this feed is publishing")
                    return
                why = "another feed is publishing"
            except FAILURES as error:
                why = explain_redis(error, self._publisher.redis).sentence
            if not waiting:
                log.warning("feed is waiting", why=why)
                waiting = True
            await asyncio.sleep(RENEW_SECONDS)

    async def _keep_the_lead(self) -> None:
        leads = True
        while leads:
            await asyncio.sleep(RENEW_SECONDS)
            # While Redis is away nothing is published either, and nobody else can take the lead.
            with contextlib.suppress(*FAILURES):
                leads = await self._lead.claim(self._feed.ticks)


@contextlib.asynccontextmanager
async def _run_feed(feed: Feed) -> AsyncIterator[None]:
    task = asyncio.create_task(feed.run(), name="replay")
    try:
        yield
    finally:
        await _stop_task(task, patience=0.1)


async def _stop_task(task: asyncio.Task[None], patience: float = PATIENCE) -> None:
    """Cancel a task and wait for it; raises its error, if it has failed."""
    await cancel_and_wait(task, patience=patience)
    if not task.cancelled():
        task.result()
