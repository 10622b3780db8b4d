"""A client of a Redis Cluster that behaves in trouble as the one of a single Redis does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from redis import exceptions
from redis.asyncio.cluster import ClusterNode, PipelineCommand, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisClusterException

REDIRECTIONS = 16
TRY_AGAIN = 0.02

T = TypeVar("T")
Command = Sequence[Any]
LOST = (exceptions.ConnectionError, exceptions.TimeoutError)
_inside: ContextVar[bool] = ContextVar("tradecast_cluster_request", default=False)


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
        options: Of redis-py's cluster client. One try takes at most `socket_timeout` and `socket_connect_timeout`
            together, finding the nodes included.

    Attributes:
        hosts: As given.
    """

    def __init__(
        self, hosts: Sequence[tuple[str, int]], *, retry: Retry, max_connections: int, timeout: float, **options: Any
    ) -> None:
        super().__init__(
            startup_nodes=[ClusterNode(host, port) for host, port in hosts],
            retry=Retry(NoBackoff(), 0),
            # a request may use a connection of every node, and finding the nodes one more
            max_connections=2 * max_connections,
            # slots that nobody serves are no reason to refuse those that somebody does: Redis decides
            require_full_coverage=False,
            dynamic_startup_nodes=False,
            # at 5 it would close all connections, those in use included, at every fifth slot that has moved
            reinitialize_steps=0,
            **options,
        )
        self.hosts = list(hosts)
        self._again = retry
        self._places = asyncio.Semaphore(max_connections)
        self._patience = timeout
        self._try_time: float = options["socket_timeout"] + options["socket_connect_timeout"]
        self._failed: str | None = None

    async def initialize(
        self,
        additional_startup_nodes_info: list[tuple[str, int]] | None = None,
        last_failed_node_name: str | None = None,
    ) -> ClusterClient:
        """Find the nodes, where that is to be done.

        Raises:
            redis.exceptions.ConnectionError: None of them answers, or it belongs to no cluster.
        """
        if not self._initialize:
            return self
        known = additional_startup_nodes_info or [(node.host, int(node.port)) for node in self.get_nodes()]
        try:
            await super().initialize(known, last_failed_node_name or self._failed)
        except RedisClusterException as error:  # which is no RedisError
            if isinstance(error.__cause__, AuthenticationError):
                raise error.__cause__ from None
            raise exceptions.ConnectionError(str(error)) from error
        except LOST:
            # the first of them is asked which commands there are: ask another one next time
            for node in self.get_primaries()[:1]:
                self.nodes_manager.move_node_to_end_of_cached_nodes(node.name)
            raise
        return self

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
        self._failed = node.name
        self._initialize = True

    async def run_all(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands, each for keys of one slot, pipelined by node; nothing holds them together.

        Returns:
            Their answers in order, with errors of Redis (`ResponseError`) among them.

        Raises:
            redis.exceptions.RedisError: A node is not reachable; what the others were asked for may be done.
        """

        async def attempt() -> list[Any]:
            await self.initialize()
            pipeline = self.pipeline()
            for command in commands:
                pipeline.execute_command(*command)
            try:
                answers = await pipeline.execute(raise_on_error=False)
                for answer in answers:
                    if isinstance(answer, LOST):
                        raise answer
            except LOST:
                self._initialize = True  # which redis-py forgets here
                raise
            return answers

        return await self._request(attempt)

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
            async with asyncio.timeout(self._patience):
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
