"""Requests of other servers, carried out here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import structlog

from tradecast.background.tasks import TaskSet
from tradecast.cluster_rpc.protocol import MAX_PARTS, Request, Response, encode_message
from tradecast.cluster_rpc.requester import MAX_ITEMS, TOO_MANY
from tradecast.delivery.envelope import Malformed
from tradecast.delivery.errors import AdapterUnavailable

MAX_RUNNING = 1_000
# Requests are repeated when an answer of Redis is lost: so many are known again.
MAX_SEEN = 10_000
PART_BYTES = 250_000
MAX_BYTES = 64_000_000
log = structlog.stdlib.get_logger("tradecast.adapter")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of this server to a request.

    Attributes:
        items: The answer.
        error: Why it was not, or not wholly, carried out; "" if it was. No ids, and no text of a client.
    """

    items: Sequence[Any] = ()
    error: str = ""


class UnknownKind(Exception):
    """A kind of request that this version does not know."""


class OperationSet(Protocol):
    """Carries requests out: `Operations`."""

    async def run(self, kind: str, body: Any) -> Outcome:
        """Carry out one request.

        Raises:
            UnknownKind: There is no such kind.
            Malformed: The body is none of this kind's.
        """
        ...


class ServerChannel(Protocol):
    """Sends to one server: the broker."""

    async def send_to_server(self, server_id: str, data: bytes) -> None:
        """Send a control message to a server. Raises AdapterUnavailable."""
        ...


class Responder:
    """Carries out each request once, and sends the answer in parts that do not hold up others.

    Args:
        own: This server's name.
        operations: Carries requests out.
        channel: Sends the answers.
        max_running: Requests at a time; one that is more is answered with an error.
    """

    def __init__(
        self, own: str, operations: OperationSet, channel: ServerChannel, max_running: int = MAX_RUNNING
    ) -> None:
        self._own = own
        self._operations = operations
        self._channel = channel
        self._max_running = max_running
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._tasks = TaskSet()

    def on_request(self, request: Request) -> None:
        """Another server asks for something."""
        key = (request.server, request.number)
        if key in self._seen:
            return
        self._seen[key] = None
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        busy = len(self._tasks) >= self._max_running
        if busy and (not request.answer or len(self._tasks) >= 2 * self._max_running):
            log.error("too many concurrent requests of other servers: one is not carried out", kind=request.kind[:64])
            return
        work = self._refuse(request) if busy else self._serve(request)
        self._tasks.spawn(work, name="request of a server")

    async def run(self, kind: str, body: Any) -> Outcome:
        """Carry out one request; never raises."""
        try:
            return await self._operations.run(kind, body)
        except UnknownKind:
            return Outcome(error="it does not know this kind of request")
        except Malformed:
            return Outcome(error="it does not understand the request")
        except AdapterUnavailable:
            return Outcome(error="Redis could not be reached in time")
        except Exception:
            log.exception("a request of a server failed", kind=kind)
            return Outcome(error="it failed")

    async def answer_own(self, kind: str, body: Any) -> Response:
        """This server's part of its own request, as the others would get it; never raises."""
        outcome = await self.run(kind, orjson.loads(orjson.dumps(body)))
        parts, error = _split_outcome(outcome)
        items = [item for part in parts for item in orjson.loads(orjson.dumps(list(part)))]
        return Response(self._own, 0, items, error=error)

    async def close(self) -> None:
        await self._tasks.close()

    async def _serve(self, request: Request) -> None:
        outcome = await self.run(request.kind, request.body)
        if request.answer:
            await self._answer(request, outcome)

    async def _refuse(self, request: Request) -> None:
        await self._answer(request, Outcome(error="too much is asked of it at once"))

    async def _answer(self, request: Request, outcome: Outcome) -> None:
        parts, error = _split_outcome(outcome)
        for number, part in enumerate(parts):
            response = Response(self._own, request.number, part, number, len(parts), error)
            try:
                await self._channel.send_to_server(request.server, encode_message(response))
            except AdapterUnavailable:
                log.warning("answer to another server is lost: Redis did not accept it", kind=request.kind[:64])
                return


def _split_outcome(outcome: Outcome) -> tuple[list[Sequence[orjson.Fragment]], str]:
    try:
        return list(split_items(outcome.items)), outcome.error
    except TypeError:
        return [()], "its answer cannot be said in JSON"
    except ValueError:
        return [()], TOO_MANY


def split_items(items: Sequence[Any]) -> Iterator[Sequence[orjson.Fragment]]:
    """An answer in parts of about `PART_BYTES`, at least one.

    Raises:
        TypeError: It cannot be said in JSON.
        ValueError: It is too large.
    """
    if len(items) > MAX_ITEMS:
        raise ValueError
    part: list[orjson.Fragment] = []
    size = total = count = 0
    for item in items:
        encoded = orjson.dumps(item)
        if part and size + len(encoded) > PART_BYTES:
            yield part
            part, size, count = [], 0, count + 1
        part.append(orjson.Fragment(encoded))
        size += len(encoded)
        total += len(encoded)
        if total > MAX_BYTES or count >= MAX_PARTS - 1:
            raise ValueError
    yield part
