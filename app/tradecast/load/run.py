"""One run: connect, subscribe, publish numbered events, wait for the last, report."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence

import httpx

from tradecast.load.client import Credential, LoadClient, Subscription
from tradecast.load.options import LoadOptions, OptionsError
from tradecast.load.packets import socket_url
from tradecast.load.progress import NullObserver, Phase, Progress, ProgressObserver
from tradecast.load.publisher import HttpOutlet, Outlet, Publisher, PublishRefused, RedisOutlet
from tradecast.load.report import Latency, LoadReport
from tradecast.load.streams import Plan, Stream
from tradecast.load.tally import Tally
from tradecast.publishing.publisher import Publisher as RedisPublisher

PROGRESS_INTERVAL = 0.5
SPARE_FILES = 64

__all__ = ["LoadError", "LoadOptions", "LoadReport", "OptionsError", "run_load"]


class LoadError(Exception):
    """The run failed; the text says why."""


def subscriptions_of(options: LoadOptions, number: int, user_id: str) -> tuple[list[Subscription], list[Stream]]:
    """What client `number` subscribes to, and the streams that it gets without."""
    wanted = {kind for kind, weight in options.mix.items() if weight > 0}
    asked: list[Subscription] = []
    if "watchlist:quote" in wanted:
        symbols = list(options.symbols)
        if options.symbols_per_client is not None:
            count = options.symbols_per_client
            symbols = [symbols[(number * count + index) % len(symbols)] for index in range(count)]
        streams = tuple(Stream("watchlist:quote", symbol) for symbol in symbols)
        asked.append(Subscription("subscribe:watchlist", {"symbols": symbols}, streams))
    if "trade:executed" in wanted:
        asked.append(Subscription("subscribe:trades", {}, (Stream("trade:executed", user_id),)))
    if "portfolio:update" in wanted:
        asked.append(Subscription("subscribe:portfolio", {}, (Stream("portfolio:update", user_id),)))
    implied = [Stream("notification", user_id)] if "notification" in wanted else []
    return asked, implied


async def run_load(options: LoadOptions, observer: ProgressObserver | None = None) -> LoadReport:
    """Carry out one run.

    Args:
        options: What to do.
        observer: Is notified of the progress.

    Raises:
        OptionsError: The options are invalid.
        LoadError: The server refuses to publish, or this process may not open so many connections.
    """
    options.check()
    _raise_file_limit(options.clients)
    return await _Run(options, observer or NullObserver()).carry_out()


class _Run:
    def __init__(self, options: LoadOptions, observer: ProgressObserver) -> None:
        self._options = options
        self._observer = observer
        self._tally = Tally()
        self._name = uuid.uuid4().hex
        self._clients: list[LoadClient] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._publisher: Publisher | None = None
        self._phase: Phase = "connecting"
        self._began = time.monotonic()

    async def carry_out(self) -> LoadReport:
        async with self._watching():
            try:
                await self._connect()
                ready = [client for client in self._clients if client.ready]
                published_for = await self._publish(ready)
                self._enter("draining")
                await self._drain(ready)
                # counted before the clients leave: what ends from here on is our doing
                report = self._report(ready, published_for)
            finally:
                self._enter("closing")
                await self._close()
        return report

    async def _connect(self) -> None:
        options = self._options
        url = socket_url(options.url, options.path)
        tls = _create_tls(options) if url.startswith("wss:") else None
        begun = time.monotonic()
        for number in range(options.clients):
            wait = begun + number / options.connect_rate - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            elif number % 20 == 0:
                await asyncio.sleep(0)
            credential: Credential = options.credentials[number % len(options.credentials)]
            asked, implied = subscriptions_of(options, number, credential.user_id)
            client = LoadClient(
                url,
                credential,
                asked,
                implied,
                self._name,
                self._tally,
                backoff=options.reconnect,
                seed=number,
                headers=options.headers,
                tls=tls,
            )
            self._clients.append(client)
            self._tasks.append(asyncio.create_task(client.run()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(options.settle):
                for client in self._clients:
                    await client.settled.wait()

    async def _publish(self, ready: Sequence[LoadClient]) -> float:
        options = self._options
        self._enter("publishing")
        begun = time.monotonic()
        streams = sorted({stream for client in ready for stream in client.checks})
        if not options.rate or not streams:
            await asyncio.sleep(options.duration if ready else 0)
            return time.monotonic() - begun
        plan = Plan(streams, options.mix)
        async with _open_outlet(options) as outlet:
            self._publisher = Publisher(outlet, plan, self._name, options.rate)
            try:
                await self._publisher.run(options.duration)
            except PublishRefused as refused:
                raise LoadError(f"the server does not accept events: {refused}") from None
        return time.monotonic() - begun

    async def _drain(self, ready: Sequence[LoadClient]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.drain):
                # an event for "all have all" would cost a check for each of thousands of deliveries
                while self._missing(ready):  # noqa: ASYNC110 as said above
                    await asyncio.sleep(0.05)

    def _missing(self, ready: Sequence[LoadClient]) -> bool:
        return any(self._losses(client) for client in ready)

    def _losses(self, client: LoadClient) -> int:
        if self._publisher is None:
            return 0
        last, uncertain = self._publisher.last, self._publisher.uncertain
        return sum(
            check.losses(last.get(stream, 0), uncertain.get(stream, ())) for stream, check in client.checks.items()
        )

    async def _close(self) -> None:
        # in groups: thousands of closing handshakes at once would time out on each other
        for start in range(0, len(self._clients), 500):
            await asyncio.gather(
                *(client.close() for client in self._clients[start : start + 500]), return_exceptions=True
            )
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                self._tally.errors[f"client: {type(result).__name__}"] += 1

    def _report(self, ready: Sequence[LoadClient], publish_seconds: float) -> LoadReport:
        tally, publisher = self._tally, self._publisher
        last = publisher.last if publisher else {}
        uncertain = publisher.uncertain if publisher else {}
        checks = [(stream, check) for client in ready for stream, check in client.checks.items()]
        errors = tally.errors + (publisher.errors if publisher else Counter())
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                errors[f"client: {type(error).__name__}"] += 1
        return LoadReport(
            clients=self._options.clients,
            connected=tally.ever_connected,
            subscribed=len(ready),
            refused=dict(tally.refused),
            connect_ms=Latency.of(tally.connect_ms),
            published=publisher.published if publisher else 0,
            uncertain=sum(len(seqs) for seqs in uncertain.values()),
            deliveries=tally.deliveries,
            expected=sum(
                last.get(stream, 0) - _count_seqs(uncertain.get(stream)) - check.superseded + check.again
                for stream, check in checks
            ),
            losses=sum(self._losses(client) for client in ready),
            doubles=sum(check.doubles for _, check in checks),
            out_of_order=sum(check.out_of_order for _, check in checks),
            delivery_ms=Latency.of(tally.delivery_ms),
            reconnects=tally.reconnects,
            disconnects=dict(tally.disconnects),
            errors=dict(errors),
            seconds=time.monotonic() - self._began,
            publish_seconds=publish_seconds,
        )

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._notify()

    def _notify(self) -> None:
        self._observer.on_progress(
            Progress(
                phase=self._phase,
                seconds=time.monotonic() - self._began,
                clients=self._options.clients,
                started=len(self._clients),
                connected=self._tally.connected,
                published=self._publisher.published if self._publisher else 0,
                deliveries=self._tally.deliveries,
            )
        )

    @contextlib.asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            self._notify()
            await asyncio.sleep(PROGRESS_INTERVAL)
            now = time.monotonic()
            for client in self._clients:
                client.check_heartbeat(now)


@contextlib.asynccontextmanager
async def _open_outlet(options: LoadOptions) -> AsyncIterator[Outlet]:
    if options.redis is not None:
        async with RedisPublisher(options.redis) as publisher:
            yield RedisOutlet(publisher)
        return
    async with httpx.AsyncClient(
        timeout=10, trust_env=False, headers=dict(options.headers), verify=_create_tls(options)
    ) as http:
        yield HttpOutlet(http, options.publish_url, options.token)


def _create_tls(options: LoadOptions) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not options.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _count_seqs(seqs: Collection[int] | None) -> int:
    return len(seqs) if seqs else 0


def _raise_file_limit(clients: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    needed = clients + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise LoadError(f"{clients} clients need {needed} open files, but the limit is {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
