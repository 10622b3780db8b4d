"""This server's own part in relaying: where others reach it, and since when."""

from __future__ import annotations

from typing import cast

import pytest

from tradecast.config.addresses import EVERYWHERE
from tradecast.polling_relay import announcement as module
from tradecast.polling_relay.addresses import Address, ServerAddresses
from tradecast.polling_relay.announcement import RelayAnnouncement
from tradecast.polling_relay.availability import STARTING
from tradecast.redis_client.client import RedisClient


class Addresses:
    """The addresses in Redis, as far as this server writes them."""

    boot = "own boot"

    def __init__(self) -> None:
        self.announced: list[tuple[Address, Address | None]] = []
        self.withdrawn = 0
        self.keys: tuple[bytes, ...] = ()

    async def announce(self, address: Address, secured: Address | None) -> None:
        self.announced.append((address, secured))
        self.keys = (b"key",)

    async def withdraw(self) -> None:
        self.withdrawn += 1

    async def run(self) -> None:
        """Nothing is to be refreshed."""


class Case:
    """An announcement, on a clock of the test's own."""

    def __init__(self, advertised: str | None = None, listens_on: str = "10.0.0.1") -> None:
        self.addresses = Addresses()
        self.now = 100.0
        self.own = RelayAnnouncement(
            cast(RedisClient, None),
            cast(ServerAddresses, self.addresses),
            advertised=advertised,
            listens_on=listens_on,
            clock=lambda: self.now,
        )


@pytest.mark.parametrize(
    ("advertised", "listens_on", "expected"),
    [
        ("pod.example", "0.0.0.0", "pod.example"),
        ("pod.example", "10.0.0.1", "pod.example"),
        (None, "10.0.0.1", "10.0.0.1"),
        (None, "0.0.0.0", "towards Redis"),
        (None, EVERYWHERE, "towards Redis"),
    ],
)
async def test_where_others_reach_it(
    monkeypatch: pytest.MonkeyPatch, advertised: str | None, listens_on: str, expected: str
) -> None:
    async def find_own_address(redis: RedisClient) -> str:
        return "towards Redis"

    monkeypatch.setattr(module, "find_own_address", find_own_address)
    case = Case(advertised, listens_on)
    await case.own.announce(9000)
    await case.own.announce(9001, tls=True)
    assert case.addresses.announced == [((expected, 9000), None), ((expected, 9001), (expected, 9001))]
    await case.own.close()
    assert case.addresses.withdrawn == 1


async def test_it_is_registered_once_redis_has_answered() -> None:
    case = Case()
    assert (case.own.is_served, case.own.is_registered) == (False, False)
    await case.own.announce(9000)
    assert (case.own.is_served, case.own.is_registered) == (True, True)
    case.addresses.keys = ()
    assert not case.own.is_registered
    await case.own.close()


async def test_its_boot_id_is_reported_while_it_starts_and_while_the_port_is_served() -> None:
    case = Case()
    assert case.own.boot == "own boot"
    case.now += STARTING
    assert case.own.boot == ""
    await case.own.announce(9000)
    assert case.own.boot == "own boot"
    await case.own.close()
