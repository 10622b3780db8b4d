"""The parts put together, for one server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from starlette.types import ASGIApp

from tradecast.background.tasks import cancel_and_wait
from tradecast.config.settings import WILDCARDS
from tradecast.polling_relay.directory import Directory
from tradecast.polling_relay.forwarder import Forwarder, Result
from tradecast.polling_relay.inbox import Inbox, Reason
from tradecast.polling_relay.interface import address_towards
from tradecast.polling_relay.offer import STARTING
from tradecast.polling_relay.sids import make_sid, new_boot
from tradecast.polling_relay.tls import InternalTls
from tradecast.redis_client.client import RedisClient

# Seconds between looks whether certificates have changed.
REFRESH_EVERY = 10.0


class Forwarding:
    """Passes requests on to the servers that own their connections, and takes what they pass on.

    Until `announce` has reached Redis once, sids are plain ones: they work on this server.

    Args:
        redis: A client for requests; others may use it too.
        advertised: This server's address for the others; None: the one that it listens on, else the one towards Redis.
        listens_on: Address of the internal port.
        on_forwarded: Told the transport and the result of each request that is passed on.
        on_refused: Told why a request of another server was not taken.
        tls: For TLS between servers; None: there is none.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        redis: RedisClient,
        advertised: str | None,
        listens_on: str,
        *,
        on_forwarded: Callable[[str, Result], None],
        on_refused: Callable[[Reason], None],
        tls: InternalTls | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tls = tls
        self._clock = clock
        self._began = clock()
        self._redis = redis
        self._advertised = advertised or (None if listens_on in WILDCARDS else listens_on)
        self._on_forwarded = on_forwarded
        self._on_refused = on_refused
        self._boot = new_boot()
        self._directory = Directory(redis, self._boot)
        self._forwarder: Forwarder | None = None
        self._running: asyncio.Task[None] | None = None

    def make_sid(self) -> str | None:
        """A new sid of this server; None while the fleet's key is not known."""
        keys = self._directory.keys
        return make_sid(self._boot, keys[0]) if keys else None

    def middleware(
        self, app: ASGIApp, holds: Callable[[str], bool], *, patience: float, max_body: int, most: int
    ) -> Forwarder:
        """The way to the engine on the public port. Arguments as of `Forwarder`."""
        self._forwarder = Forwarder(
            app,
            holds,
            self._directory,
            self._boot,
            patience=patience,
            max_body=max_body,
            most=most,
            on_forwarded=self._on_forwarded,
            tls=self.tls,
        )
        return self._forwarder

    def inbox(self, app: ASGIApp) -> Inbox:
        """The app of the internal port.

        Args:
            app: The engine.
        """
        return Inbox(app, self._directory, self._boot, self._on_refused)

    async def announce(self, port: int, *, tls: bool = False) -> None:
        """Tell the other servers that the internal port is served, and listen for what they tell.

        Args:
            port: The port.
            tls: Whether it speaks TLS.
        """
        address = (self._advertised or await address_towards(self._redis), port)
        await self._directory.announce(address, address if tls else None)
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="directory")

    async def _run(self) -> None:
        looking = asyncio.create_task(self._directory.run(), name="directory looks")
        try:
            while True:
                await asyncio.sleep(REFRESH_EVERY)
                if self.tls is not None:
                    self.tls.refresh()
        finally:
            await cancel_and_wait(looking)

    @property
    def servers(self) -> int:
        """How many other servers are known."""
        return self._directory.others

    # -- for the offer (`Own`), and for what is told to the others

    @property
    def served(self) -> bool:
        """Whether the internal port is served."""
        return self._running is not None

    @property
    def told(self) -> bool:
        """Whether Redis has this server's address, or had it."""
        return self.served and bool(self._directory.keys)

    @property
    def known(self) -> Collection[str]:
        """Boot ids of the other servers in the directory."""
        return self._directory.boots

    @property
    def boot(self) -> str:
        """This server's boot id if it passes requests on, or is about to; else nothing."""
        starting = self._clock() - self._began < STARTING
        return self._boot if self.served or starting else ""

    @property
    def relays(self) -> Collection[str]:
        """WebSockets that pass through to other servers."""
        return self._forwarder.relays.names if self._forwarder is not None else ()

    def hang_up(self, relay: str) -> bool:
        """Close a WebSocket that passes through; whether there is one of this name. A stock client comes back."""
        return self._forwarder is not None and self._forwarder.relays.hang_up(relay)

    async def close(self) -> None:
        """Be found no more, and let go of everything."""
        await cancel_and_wait(self._running)
        if self._forwarder is not None:
            self._forwarder.close()
        await self._directory.leave()
