"""The client of a Redis Cluster, which behaves in trouble as the one of a single Redis does."""

from __future__ import annotations

import asyncio
import functools
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from redis import exceptions
from redis.asyncio.cluster import ClusterNode, PipelineCommand
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from tradecast.causes import REDIS, Place
from tradecast.redis_client.errors import is_key_error
from tradecast.redis_client.redis_py_internals import LOST, TRUSTED_FOR, RoutedCluster
from tradecast.redis_client.topology import Command, RedisTopology, raise_errors
from tradecast.redis_client.urls import join_hosts

if TYPE_CHECKING:  # pydantic is only needed where settings are read
    from tradecast.config.settings import UrlName

CHECK_KEY = "tradecast:check:{}"
CHECK_PATIENCE = 0.9
MAX_NAMES = 100_000


class PartsAway(exceptions.RedisError):
    """Parts of the cluster do not answer.

    Attributes:
        in_words: How much of it, without addresses.
        place: One of the nodes that do not.
    """

    def __init__(self, in_words: str, place: Place) -> None:
        self.in_words = in_words
        self.place = place
        super().__init__(in_words)


class ClusterClient(RoutedCluster, RedisTopology):  # type: ignore[misc]  # redis-py's own bases do not agree
    """`RoutedCluster` with what it has in common with one Redis.

    Args:
        hosts: Nodes to ask for the others.
        retry: Which errors are tried again, how often, and how far apart.
        max_connections: Requests at a time; others wait.
        timeout: Seconds that they wait.
        setting: Which setting names it.
        options: Of redis-py's cluster client.

    Attributes:
        hosts: As given.
    """

    is_cluster = True
    database = 0

    def __init__(
        self,
        hosts: Sequence[tuple[str, int]],
        *,
        retry: Retry,
        max_connections: int,
        timeout: float,
        setting: UrlName = "REDIS_URL",
        **options: Any,
    ) -> None:
        super().__init__(hosts, retry=retry, max_connections=max_connections, timeout=timeout, **options)
        self.hosts = list(hosts)
        self.place = Place(
            REDIS,
            join_hosts(self.hosts),
            setting,
            tls=bool(options.get("ssl")),
            certified=options.get("ssl_certfile") is not None,
            authenticated=bool(options.get("password")),
            kind="cluster",
        )
        self._slots_lock = asyncio.Lock()
        self._slots_read_at = -TRUSTED_FOR

    @property
    def first_host(self) -> tuple[str | None, int]:
        return self.hosts[0]

    async def open_connection(self, key: str) -> AbstractConnection:
        # Slots are read again when connections are wanted, which is when what was known of them was wrong.
        async with self._slots_lock:
            if time.monotonic() - self._slots_read_at >= TRUSTED_FOR:
                await self.refresh_slots()
                self._slots_read_at = time.monotonic()
        try:
            node = self.find_node(key)
        except (exceptions.SlotNotCoveredError, KeyError) as error:
            raise exceptions.ConnectionError("no node of the cluster has the slot") from error
        options = node.connection_kwargs | {"retry": Retry(NoBackoff(), 0)}
        connection: AbstractConnection = node.connection_class(**options)
        await connection.connect()  # type: ignore[no-untyped-call]
        return connection

    async def check(self, patience: float = CHECK_PATIENCE) -> None:
        """Ask every master for a key, and say how many do not answer.

        Args:
            patience: Seconds that each may take.

        Raises:
            PartsAway: Some do not answer, or refuse, or slots are served by nobody.
            redis.exceptions.RedisError: No node is reachable.
        """
        try:
            async with asyncio.timeout(patience):
                await self.initialize()
        except (*LOST, TimeoutError):
            if not self.find_slots():
                raise
            # ask those that were found last
        slots = self.find_slots()
        served = Counter(slots.values())
        by_node = self._choose_one_per_master((CHECK_KEY.format(number) for number in range(MAX_NAMES)), str)
        asked = [node for node in served if node in by_node]

        async def ask(node: ClusterNode) -> None:
            async with asyncio.timeout(patience):
                try:
                    await self.run_on(node, "EXISTS", by_node[node])
                except exceptions.ConnectionError:  # of a connection that it closed when it was started again, perhaps
                    await self.run_on(node, "EXISTS", by_node[node])

        answers = await asyncio.gather(*map(ask, asked), return_exceptions=True)
        failed = {node: error for node, error in zip(asked, answers, strict=True) if isinstance(error, Exception)}
        away = {node: error for node, error in failed.items() if not isinstance(error, exceptions.ClusterDownError)}
        lacking = REDIS_CLUSTER_HASH_SLOTS - len(slots)
        if not failed and not lacking:
            return
        for node in away:
            await self.give_up_on(node)
        self.find_again()
        words = []
        if away:
            share = sum(served[node] for node in away)
            words.append(f"{len(away)} of {len(served)} masters away, {share} of {REDIS_CLUSTER_HASH_SLOTS} slots")
        if lacking:
            words.append(f"no node serves {lacking} of {REDIS_CLUSTER_HASH_SLOTS} slots")
        if len(failed) > len(away):
            words.append(f"{len(failed) - len(away)} of {len(served)} masters refuse, as the cluster is incomplete")
        causes = [*away.values(), *failed.values()]
        first = next(iter((*away, *failed)), None)
        place = self.place if first is None else replace(self.place, at=join_hosts([(first.host, int(first.port))]))
        raise PartsAway("; ".join(words), place) from (causes[0] if causes else None)

    async def run_all(self, commands: Sequence[Command]) -> list[Any]:
        async def attempt() -> list[Any]:
            await self.initialize()
            by_node: dict[ClusterNode, list[PipelineCommand]] = defaultdict(list)
            waiting = [PipelineCommand(number, *words) for number, (_, words) in enumerate(commands)]
            for one, (key, _) in zip(waiting, commands, strict=True):
                by_node[self.find_node(key)].append(one)
            done = await asyncio.gather(*(self.run_pipeline(*some) for some in by_node.items()), return_exceptions=True)
            for error in done:
                if error is not None:
                    raise error
            return [one.result for one in waiting]

        return await self.request(attempt)

    async def read_info(self) -> Mapping[str, Mapping[str, Any]]:
        await self.request(self.initialize)
        nodes = self.get_primaries()
        requests = (functools.partial(self.run_on, node, "INFO") for node in nodes)
        answers = await asyncio.gather(*map(self.request, requests))
        return dict(zip((node.name for node in nodes), answers, strict=True))

    async def read_run_ids(self) -> Callable[[str], str]:
        await self.request(self.initialize)
        found: dict[str, str] = {}
        for node in set(self.find_slots().values()):
            try:
                info = await self.request(functools.partial(self.run_on, node, "INFO", "server"))
            except exceptions.ResponseError:  # without permission to ask
                continue
            found[node.name] = str(info.get("run_id", "")) if isinstance(info, dict) else ""
        slots = {slot: found.get(node.name, "") for slot, node in self.find_slots().items()}
        return lambda key: slots.get(self.keyslot(key), "")

    async def scan_keys(self, pattern: str, count: int) -> AsyncGenerator[Sequence[bytes | str], None]:
        await self.request(self.initialize)
        for node in self.get_primaries():
            cursor = 0
            while True:
                words = ("SCAN", cursor, "MATCH", pattern, "COUNT", count)
                cursor, keys = await self.request(functools.partial(self.run_on, node, *words))
                yield keys
                if cursor == 0:
                    break

    async def read_many(self, keys: Sequence[str]) -> Sequence[Any]:
        answers = await self.run_all([(key, ("GET", key)) for key in keys])
        # As MGET does: what is no text is nothing, and the others are there.
        return raise_errors([None if is_key_error(answer) else answer for answer in answers])

    async def read_with_ttl(self, keys: Sequence[str]) -> tuple[Sequence[Any], Sequence[int]]:
        commands = [(key, (name, key)) for name in ("GET", "PTTL") for key in keys]
        answers = await self.run_all(commands)
        values = raise_errors([None if is_key_error(value) else value for value in answers[: len(keys)]])
        return values, raise_errors(answers[len(keys) :])

    async def find_existing(self, keys: Sequence[str]) -> Sequence[bool]:
        return list(map(bool, raise_errors(await self.run_all([(key, ("EXISTS", key)) for key in keys]))))

    async def delete_all(self, keys: Sequence[str]) -> int:
        return sum(raise_errors(await self.run_all([(key, ("DEL", key)) for key in keys])))

    async def vary_name(self, name: str, key: Callable[[str], str]) -> list[str]:
        await self.request(self.initialize)
        return list(self._choose_one_per_master((f"{name}{number}" for number in range(MAX_NAMES)), key).values())

    def _choose_one_per_master(self, names: Iterable[str], key: Callable[[str], str]) -> dict[ClusterNode, str]:
        slots = self.find_slots()
        masters = set(slots.values())
        found: dict[ClusterNode, str] = {}
        for name in names:
            node = slots.get(self.keyslot(key(name)))
            if node is not None:
                found.setdefault(node, name)
            if len(found) == len(masters):
                break
        return found
