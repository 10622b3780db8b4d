"""A client of a Redis Cluster that behaves in trouble as the one of a single Redis does."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, TypeVar

from redis import exceptions
from redis.asyncio.cluster import ClusterNode, PipelineCommand, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import AuthenticationError, RedisClusterException

from tradecast.causes import REDIS, Place
from tradecast.config.settings import UrlName
from tradecast.redis_client.urls import join_hosts

REDIRECTIONS = 16
TRY_AGAIN = 0.02

T = TypeVar("T")
Command = tuple[str, Sequence[Any]]
LOST = (exceptions.ConnectionError, exceptions.TimeoutError)
SENT_ON = (exceptions.AskError, exceptions.TryAgainError)  # and MovedError, which is an AskError
CHUNK = 200
FAILED_FOR = 5.0
# Seconds for which what was found out of nodes and slots stands, whatever fails.
BELIEVED = 0.2
CHECK_KEY = "tradecast:check:{}"
CHECK_PATIENCE = 0.9
MANY = 100_000
_inside: ContextVar[bool] = ContextVar("tradecast_cluster_request", default=False)


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


class ClusterClient(RedisCluster):
    """`redis.asyncio.cluster.RedisCluster` with our retries, pauses and bounds.

    redis-py's own has none between tries, raises errors that are no `RedisError`, refuses requests beyond its
    connections in place of letting them wait, and finds its way from the nodes that it found last, which may all have
    gone by now. It is found anew from the configured ones, whose names may lead elsewhere, and then from those found.

    Args:
        hosts: Nodes to ask for the others.
        retry: Which errors are tried again, how often, and how far apart.
        max_connections: Requests at a time; others wait.
        timeout: Seconds that they wait.
        setting: Which setting names it.
        options: Of redis-py's cluster client. One try takes at most `socket_timeout` and `socket_connect_timeout`
            together, finding the nodes included.

    Attributes:
        hosts: As given.
        place: What is told of it when it does not work.
    """

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
        super().__init__(
            startup_nodes=[ClusterNode(host, port) for host, port in hosts],
            retry=Retry(NoBackoff(), 0),
            # a request may use a connection of every node, and finding the nodes one more
            max_connections=2 * max_connections,
            # slots that nobody serves are no reason to refuse those that somebody does: Redis decides
            require_full_coverage=False,
            dynamic_startup_nodes=False,
            **options,
        )
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
        self._again = retry
        self._places = asyncio.Semaphore(max_connections)
        self._patience = timeout
        self._try_time: float = options["socket_timeout"] + options["socket_connect_timeout"]
        self._finding = asyncio.Lock()
        self._configured = dict(self.nodes_manager.startup_nodes)
        self._failed: dict[str, float] = {}
        self._knows_commands = False
        self._found_at = -math.inf

    async def initialize(
        self, additional_startup_nodes_info: Any = None, last_failed_node_name: str | None = None
    ) -> ClusterClient:
        """Find the nodes, where that is to be done.

        In place of redis-py's, which closes all connections, those in use included, when it cannot, and is told of
        one failed node at most. It takes no arguments.

        Raises:
            redis.exceptions.ConnectionError: None of them answers, or it belongs to no cluster.
        """
        if self._initialize:
            async with self._finding:
                if self._initialize:
                    await self._find()
        return self

    async def find_anew(self) -> None:
        """Find out again who has which slots; raises as `initialize`."""
        self._initialize = True
        await self.initialize()

    async def _find(self) -> None:
        nodes = self.nodes_manager
        known = {**self._configured, **nodes.nodes_cache}
        now = time.monotonic()
        if now - self._found_at < BELIEVED:  # each time, redis-py makes all connections anew
            self._initialize = False
            return
        self._failed = {name: since for name, since in self._failed.items() if now - since < FAILED_FOR}
        nodes.startup_nodes = {name: node for name, node in known.items() if name not in self._failed} or known
        try:
            await nodes.initialize()
            if not self._knows_commands:
                await self.commands_parser.initialize(nodes.default_node)
                self._knows_commands = True
        except IndexError as error:  # redis-py's own, of a node that serves no slot and knows nobody who does
            self._failed.clear()
            raise exceptions.ClusterDownError("nobody serves the slots") from error
        except RedisClusterException as error:  # which is no RedisError
            self._failed.clear()
            if isinstance(error.__cause__, AuthenticationError):
                raise error.__cause__ from None
            raise exceptions.ConnectionError(str(error)) from error
        except LOST:
            await self._lost(nodes.default_node)
            raise
        self._initialize = False
        self._found_at = time.monotonic()

    async def aclose(self) -> None:
        """Close all connections."""
        self._initialize = True
        self._found_at = -math.inf
        nodes = {
            id(node): node for known in (self._configured, self.nodes_manager.nodes_cache) for node in known.values()
        }
        await asyncio.gather(*(node.disconnect() for node in nodes.values()))

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As RedisCluster's.

        Raises:
            redis.exceptions.RedisError: The cluster refused, or the node asked is not reachable.
        """

        async def attempt() -> Any:
            await self.initialize()
            return await super(ClusterClient, self).execute_command(*args, **options)

        return await self._request(attempt)

    async def _execute_command(self, target_node: ClusterNode, *args: Any, **options: Any) -> Any:
        # In place of redis-py's, which sends ASKING and the command over different connections: while a slot moves,
        # another request then often takes the one that may ask.
        node, asks = target_node, False
        for turn in range(REDIRECTIONS):
            try:
                if asks:
                    return await _ask(node, args, options)
                return await node.execute_command(*args, **options)
            except exceptions.MovedError as error:
                self.nodes_manager.slots_cache.setdefault(error.slot_id, [])
                await self.nodes_manager.move_slot(error)
                node, asks = self.nodes_manager.get_node_from_slot(error.slot_id), False
            except exceptions.AskError as error:
                known = self.get_node(error.host, error.port)
                if known is None:  # it has joined just now
                    self._initialize = True
                    await self.initialize()
                    known = self.get_node(error.host, error.port)
                node, asks = known or node, known is not None
            except exceptions.TryAgainError:  # some of the keys are here and some there
                await asyncio.sleep(TRY_AGAIN * turn)
            except exceptions.MaxConnectionsError:
                raise
            except LOST:
                await self._lost(node)
                raise
            except exceptions.ClusterDownError:
                self._initialize = True
                raise
        raise exceptions.ClusterError("sent on too often")

    async def _lost(self, node: ClusterNode) -> None:
        """Its connections are done with, and who else there is is to be found out from another one."""
        node.update_active_connections_for_reconnect()
        await node.disconnect_free_connections()
        self.nodes_manager.move_node_to_end_of_cached_nodes(node.name)
        self._failed[node.name] = time.monotonic()
        self._initialize = True

    async def run_all(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands, pipelined by node; nothing holds them together.

        Args:
            commands: Each as a key, whose slot its keys are in, and the command's words.

        Returns:
            Their answers in order, with errors of Redis (`ResponseError`) among them.

        Raises:
            redis.exceptions.RedisError: A node is not reachable; what the others were asked for may be done.
        """

        async def attempt() -> list[Any]:
            await self.initialize()
            by_node: dict[ClusterNode, list[PipelineCommand]] = defaultdict(list)
            waiting = [PipelineCommand(number, *words) for number, (_, words) in enumerate(commands)]
            for one, (key, _) in zip(waiting, commands, strict=True):
                by_node[self.nodes_manager.get_node_from_slot(self.keyslot(key))].append(one)
            done = await asyncio.gather(*(self._pipe(*some) for some in by_node.items()), return_exceptions=True)
            for error in done:
                if error is not None:
                    raise error
            return [one.result for one in waiting]

        return await self._request(attempt)

    async def scan_masters(self, pattern: str, count: int) -> AsyncGenerator[tuple[list[bytes | str]], None]:
        """The keys of all masters, some at a time; perhaps one more than once, and one that moves meanwhile never.

        Raises:
            redis.exceptions.RedisError: A master is not reachable.
        """
        await self._request(self.initialize)
        for node in self.get_primaries():
            cursor = 0
            while True:
                request = functools.partial(
                    self._execute_command, node, "SCAN", cursor, "MATCH", pattern, "COUNT", count
                )
                cursor, keys = await self._request(request)
                yield (keys,)
                if cursor == 0:
                    break

    async def ask_masters(self, *words: str) -> list[Any]:
        """Each master's answer to a command without keys.

        Raises:
            redis.exceptions.RedisError: A master refuses, or is not reachable.
        """
        await self._request(self.initialize)
        requests = (functools.partial(self._execute_command, node, *words) for node in self.get_primaries())
        return await asyncio.gather(*map(self._request, requests))

    async def one_of_each(self, names: Iterable[str], key: Callable[[str], str]) -> list[str]:
        """The first of the names whose keys the masters have, one name for each, or some if there are not enough names.

        Raises:
            redis.exceptions.RedisError: No node is reachable.
        """
        await self._request(self.initialize)
        return list(self._one_of_each(names, key).values())

    def _one_of_each(self, names: Iterable[str], key: Callable[[str], str]) -> dict[ClusterNode, str]:
        slots = self.nodes_manager.slots_cache
        masters = {nodes[0] for nodes in slots.values()}
        found: dict[ClusterNode, str] = {}
        for name in names:
            nodes = slots.get(self.keyslot(key(name)))
            if nodes:
                found.setdefault(nodes[0], name)
            if len(found) == len(masters):
                break
        return found

    async def run_ids(self) -> Callable[[str], str]:
        """For a key the `run_id` of the master that has it now; "" where that cannot be told.

        Raises:
            redis.exceptions.RedisError: A master is not reachable.
        """
        await self._request(self.initialize)
        masters = {nodes[0] for nodes in self.nodes_manager.slots_cache.values()}
        found: dict[str, str] = {}
        for node in masters:
            try:
                told = await self._request(functools.partial(self._execute_command, node, "INFO", "server"))
            except exceptions.ResponseError:  # without permission to ask
                continue
            found[node.name] = str(told.get("run_id", "")) if isinstance(told, dict) else ""
        slots = {slot: found.get(nodes[0].name, "") for slot, nodes in self.nodes_manager.slots_cache.items()}
        return lambda key: slots.get(self.keyslot(key), "")

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
            if not self.nodes_manager.slots_cache:
                raise
            # ask those that were found last
        slots = self.nodes_manager.slots_cache
        served = Counter(nodes[0] for nodes in slots.values())
        by_node = self._one_of_each((CHECK_KEY.format(number) for number in range(MANY)), str)
        asked = [node for node in served if node in by_node]

        async def ask(node: ClusterNode) -> None:
            async with asyncio.timeout(patience):
                try:
                    await self._execute_command(node, "EXISTS", by_node[node])
                except exceptions.ConnectionError:  # of a connection that it closed when it was started again, perhaps
                    await self._execute_command(node, "EXISTS", by_node[node])

        answers = await asyncio.gather(*map(ask, asked), return_exceptions=True)
        failed = {node: error for node, error in zip(asked, answers, strict=True) if isinstance(error, Exception)}
        away = {node: error for node, error in failed.items() if not isinstance(error, exceptions.ClusterDownError)}
        lacking = REDIS_CLUSTER_HASH_SLOTS - len(slots)
        if not failed and not lacking:
            return
        for node in away:
            await self._lost(node)
        self._initialize = True
        words = []
        if away:
            share = sum(served[node] for node in away)
            words.append(f"{len(away)} of {len(served)} masters away, {share} of {REDIS_CLUSTER_HASH_SLOTS} slots")
        if lacking:
            words.append(f"nobody serves {lacking} of {REDIS_CLUSTER_HASH_SLOTS} slots")
        if len(failed) > len(away):
            words.append(f"{len(failed) - len(away)} of {len(served)} masters refuse, as the cluster is incomplete")
        causes = [*away.values(), *failed.values()]
        first = next(iter((*away, *failed)), None)
        place = self.place if first is None else replace(self.place, at=join_hosts([(first.host, int(first.port))]))
        raise PartsAway("; ".join(words), place) from (causes[0] if causes else None)

    async def _pipe(self, node: ClusterNode, commands: list[PipelineCommand]) -> None:
        for start in range(0, len(commands), CHUNK):
            try:
                await node.execute_pipeline(commands[start : start + CHUNK])
                for one in commands[start : start + CHUNK]:
                    if isinstance(one.result, LOST):
                        raise one.result
            except exceptions.MaxConnectionsError:
                raise
            except LOST:
                await self._lost(node)
                raise
        for one in commands:
            if isinstance(one.result, SENT_ON):
                one.result = await self._execute_command(node, *one.args)

    async def _request(self, attempt: Callable[[], Awaitable[T]]) -> T:
        if _inside.get():  # a command of a pipeline that was sent elsewhere
            return await attempt()

        async def bounded() -> T:
            try:
                async with asyncio.timeout(self._try_time):
                    return await attempt()
            except (RedisClusterException, KeyError) as error:
                self._initialize = True
                raise exceptions.ConnectionError("nobody serves the slot, or not alone") from error
            except TimeoutError:
                self._initialize = True
                raise exceptions.TimeoutError("no answer in time") from None

        async def failed(error: Exception) -> None:
            pass

        async with self._place():
            return await self._again.call_with_retry(bounded, failed)

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience) if self._places.locked() else contextlib.nullcontext():
                await self._places.acquire()
        except TimeoutError:
            raise exceptions.ConnectionError("No connection available.") from None
        token = _inside.set(True)
        try:
            yield
        finally:
            _inside.reset(token)
            self._places.release()


async def _ask(node: ClusterNode, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Ask a node for a key of a slot that is on its way there."""
    asking, command = PipelineCommand(0, "ASKING"), PipelineCommand(1, *args, **options)
    await node.execute_pipeline([asking, command])
    for answer in (asking.result, command.result):
        if isinstance(answer, Exception):
            raise answer
    return command.result
