"""This server's own part in relaying: where others reach it, and whether it serves them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from tradecast.background.tasks import cancel_and_wait
from tradecast.config.addresses import WILDCARDS
from tradecast.polling_relay.addresses import ServerAddresses, find_own_address
from tradecast.polling_relay.availability import STARTING
from tradecast.polling_relay.tls import InternalTls
from tradecast.redis_client.client import RedisClient

# Seconds between checks whether certificates have changed.
REFRESH_EVERY = 10.0


class RelayAnnouncement:
    """Publishes this server's address, and keeps the others' and the certificates up to date.

    Args:
        redis: A client for requests; others may use it too.
        addresses: Where addresses are kept.
        advertised: This server's address for the others; None: the one that it listens on, else the one towards Redis.
        listens_on: Address of the internal port.
        tls: For TLS between servers; None: there is none.
        clock: Seconds that never go back.

    Attributes:
        addresses: As above.
        tls: As above.
    """

    def __init__(
        self,
        redis: RedisClient,
        addresses: ServerAddresses,
        *,
        advertised: str | None,
        listens_on: str,
        tls: InternalTls | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.addresses = addresses
        self.tls = tls
        self._redis = redis
        self._advertised = advertised or (None if listens_on in WILDCARDS else listens_on)
        self._clock = clock
        self._began = clock()
        self._running: asyncio.Task[None] | None = None

    async def announce(self, port: int, *, tls: bool = False) -> None:
        """Publish the internal port, which is served from now on, and read the other servers' addresses.

        Args:
            port: The port.
            tls: Whether it speaks TLS.
        """
        address = (self._advertised or await find_own_address(self._redis), port)
        await self.addresses.announce(address, address if tls else None)
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="relay announcement")

    async def close(self) -> None:
        """Withdraw the address."""
        await cancel_and_wait(self._running)
        await self.addresses.withdraw()

    async def _run(self) -> None:
        refreshing = asyncio.create_task(self.addresses.run(), name="server addresses")
        try:
            while True:
                await asyncio.sleep(REFRESH_EVERY)
                if self.tls is not None:
                    self.tls.refresh()
        finally:
            await cancel_and_wait(refreshing)

    # -- what decides about polling (`OwnRelay`), and what the heartbeat reports

    @property
    def is_served(self) -> bool:
        """Whether the internal port is served."""
        return self._running is not None

    @property
    def is_registered(self) -> bool:
        """Whether Redis has this server's address, or had it."""
        return self.is_served and bool(self.addresses.keys)

    @property
    def other_boots(self) -> Collection[str]:
        """Boot ids of the other servers that have an address."""
        return self.addresses.other_boots

    @property
    def boot(self) -> str:
        """This server's boot id if it relays requests, or is about to; else an empty text."""
        starting = self._clock() - self._began < STARTING
        return self.addresses.boot if self.is_served or starting else ""
