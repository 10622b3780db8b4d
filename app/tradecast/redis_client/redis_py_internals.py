"""Every use of what redis-py does not document, in one place: overridden methods, private attributes, its own nodes.

Read from redis-py 8: a new version of it may change any of this without a word in its notes.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from redis import exceptions
from redis.asyncio.cluster import ClusterNode, PipelineCommand, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisClusterException

T = TypeVar("T")
REDIRECTIONS = 16
TRY_AGAIN_DELAY = 0.02
LOST = (exceptions.ConnectionError, exceptions.TimeoutError)
REDIRECTED = (exceptions.AskError, exceptions.TryAgainError)  # and MovedError, which is an AskError
PIPELINE_SIZE = 200
FAILED_FOR = 5.0
# Seconds for which what was found out of nodes and slots stands, whatever fails.
TRUSTED_FOR = 0.2
# Seconds after which the connections to a node that has left the cluster are closed, those in use too.
REMOVED_FOR = 60.0
_in_request: ContextVar[bool] = ContextVar("tradecast_cluster_request", default=False)
_retrying: ContextVar[bool] = ContextVar("tradecast_redis_retrying", default=False)


def stream_writer(connection: AbstractConnection) -> asyncio.StreamWriter | None:
    """The stream that a connection writes to; None: it is closed."""
    return connection._writer


class RequestRetry(Retry):
    """Retries a request, and not once more inside for each connection that the request makes.

    redis-py retries at both levels with the same policy (client.py `execute_command`, connection.py
    `connect_check_health`), so 3 retries would be up to 15 connection attempts. A refused log-in is not repeated.
    """

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[T]],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        if _retrying.get():
            once: Retry = Retry(NoBackoff(), 0, self._supported_errors)
            return await once.call_with_retry(do, fail, is_retryable, with_failure_count)

        async def attempt() -> T:
            token = _retrying.set(True)
            try:
                return await do()
            finally:
                _retrying.reset(token)

        def may_help(error: Exception) -> bool:
            return not isinstance(error, AuthenticationError) and (is_retryable is None or is_retryable(error))

        return await super().call_with_retry(attempt, fail, may_help, with_failure_count)


class RoutedCluster(RedisCluster):
    """`redis.asyncio.cluster.RedisCluster` that finds nodes, redirects and retries as one Redis does.

    redis-py's own has no pauses between tries, raises errors that are no `RedisError`, refuses requests beyond its
    connections in place of letting them wait, and finds its way from the nodes that it found last, which may all have
    gone by now. It is found again from the configured ones, whose names may lead elsewhere, and then from those found.

    Args:
        hosts: Nodes to ask for the others.
        retry: Which errors are tried again, how often, and how far apart.
        max_connections: Requests at a time; others wait.
        timeout: Seconds that they wait.
        options: Of redis-py's cluster client. One try takes at most `socket_timeout` and `socket_connect_timeout`
            together, finding the nodes included.
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
            **options,
        )
        self._policy = retry
        self._slots = asyncio.Semaphore(max_connections)
        self._patience = timeout
        self._try_time: float = options["socket_timeout"] + options["socket_connect_timeout"]
        self._finding = asyncio.Lock()
        self._configured = dict(self.nodes_manager.startup_nodes)
        self._failed: dict[str, float] = {}
        # Nodes that have left, and when. Whoever asks all nodes in turn may still connect to one of them.
        self._removed: list[tuple[float, ClusterNode]] = []
        self._knows_commands = False
        self._found_at = -math.inf

    async def initialize(
        self, additional_startup_nodes_info: Any = None, last_failed_node_name: str | None = None
    ) -> RoutedCluster:
        """Find the nodes, where that is to be done.

        In place of redis-py's, which closes all connections, those in use included, when it cannot, and knows of
        one failed node at most. It takes no arguments.

        Raises:
            redis.exceptions.ConnectionError: None of them answers, or it belongs to no cluster.
        """
        if self._initialize:
            async with self._finding:
                if self._initialize:
                    await self._find()
        return self

    async def refresh_slots(self) -> None:
        """Find out again which node has which slots; raises as `initialize`."""
        self._initialize = True
        await self.initialize()

    async def _find(self) -> None:
        nodes = self.nodes_manager
        known = {**self._configured, **nodes.nodes_cache}
        now = time.monotonic()
        if now - self._found_at < TRUSTED_FOR:  # each time, redis-py makes all connections again
            self._initialize = False
            return
        await self._close_removed(now - REMOVED_FOR)
        self._failed = {name: since for name, since in self._failed.items() if now - since < FAILED_FOR}
        nodes.startup_nodes = {name: node for name, node in known.items() if name not in self._failed} or known
        before = list(nodes.nodes_cache.values())
        try:
            await nodes.initialize()
            here = {id(node) for node in nodes.nodes_cache.values()}
            self._removed += [(now, node) for node in before if id(node) not in here]
            if not self._knows_commands:
                await self.commands_parser.initialize(nodes.default_node)
                self._knows_commands = True
        except IndexError as error:  # redis-py's own, of a node that serves no slot and knows nobody who does
            self._failed.clear()
            raise exceptions.ClusterDownError("no node serves the slots") from error
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

    async def _close_removed(self, before: float) -> None:
        """Close the connections to the nodes that had left before that time."""
        closing = [node for since, node in self._removed if since <= before]
        self._removed = [(since, node) for since, node in self._removed if since > before]
        await asyncio.gather(*(node.disconnect() for node in closing), return_exceptions=True)

    async def aclose(self) -> None:
        """Close all connections."""
        self._initialize = True
        self._found_at = -math.inf
        await self._close_removed(math.inf)
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
            return await super(RoutedCluster, self).execute_command(*args, **options)

        return await self.request(attempt)

    async def _execute_command(self, target_node: ClusterNode, *args: Any, **options: Any) -> Any:
        # In place of redis-py's, which sends ASKING and the command over different connections: while a slot moves,
        # another request then often takes the one that may ask.
        node, asks = target_node, False
        for turn in range(REDIRECTIONS):
            try:
                if asks:
                    return await _ask_node(node, args, options)
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
                await asyncio.sleep(TRY_AGAIN_DELAY * turn)
            except exceptions.MaxConnectionsError:
                raise
            except LOST:
                await self._lost(node)
                raise
            except exceptions.ClusterDownError:
                self._initialize = True
                raise
        raise exceptions.ClusterError("redirected too often")

    async def _lost(self, node: ClusterNode) -> None:
        """Give up its connections; the other nodes are found from another one."""
        node.update_active_connections_for_reconnect()
        await node.disconnect_free_connections()
        self.nodes_manager.move_node_to_end_of_cached_nodes(node.name)
        self._failed[node.name] = time.monotonic()
        self._initialize = True

    async def run_pipeline(self, node: ClusterNode, commands: list[PipelineCommand]) -> None:
        for start in range(0, len(commands), PIPELINE_SIZE):
            try:
                await node.execute_pipeline(commands[start : start + PIPELINE_SIZE])
                for one in commands[start : start + PIPELINE_SIZE]:
                    if isinstance(one.result, LOST):
                        raise one.result
            except exceptions.MaxConnectionsError:
                raise
            except LOST:
                await self._lost(node)
                raise
        for one in commands:
            if isinstance(one.result, REDIRECTED):
                one.result = await self._execute_command(node, *one.args)

    # -- for the client above

    def find_slots(self) -> Mapping[int, ClusterNode]:
        """The master of each slot that is served, as found last."""
        return {slot: nodes[0] for slot, nodes in self.nodes_manager.slots_cache.items() if nodes}

    def find_node(self, key: str) -> ClusterNode:
        """The master that has a key's slot. Raises SlotNotCoveredError, KeyError."""
        return self.nodes_manager.get_node_from_slot(self.keyslot(key))

    async def run_on(self, node: ClusterNode, *words: Any) -> Any:
        """Run a command on one node. Raises redis.exceptions.RedisError."""
        return await self._execute_command(node, *words)

    async def give_up_on(self, node: ClusterNode) -> None:
        """A node does not answer: find the others from another one."""
        await self._lost(node)

    def find_again(self) -> None:
        """Find the nodes with the next request."""
        self._initialize = True

    async def request(self, attempt: Callable[[], Awaitable[T]]) -> T:
        if _in_request.get():  # a command of a pipeline that was redirected
            return await attempt()

        async def bounded() -> T:
            try:
                async with asyncio.timeout(self._try_time):
                    return await attempt()
            except (RedisClusterException, KeyError) as error:
                self._initialize = True
                raise exceptions.ConnectionError("no node serves the slot, or several do") from error
            except TimeoutError:
                self._initialize = True
                raise exceptions.TimeoutError("no answer in time") from None

        async def failed(error: Exception) -> None:
            pass

        async with self._acquire():
            return await self._policy.call_with_retry(bounded, failed)

    @contextlib.asynccontextmanager
    async def _acquire(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience) if self._slots.locked() else contextlib.nullcontext():
                await self._slots.acquire()
        except TimeoutError:
            raise exceptions.ConnectionError("No connection available.") from None
        token = _in_request.set(True)
        try:
            yield
        finally:
            _in_request.reset(token)
            self._slots.release()


async def _ask_node(node: ClusterNode, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Ask a node for a key of a slot that is on its way there."""
    asking, command = PipelineCommand(0, "ASKING"), PipelineCommand(1, *args, **options)
    await node.execute_pipeline([asking, command])
    for answer in (asking.result, command.result):
        if isinstance(answer, Exception):
            raise answer
    return command.result
