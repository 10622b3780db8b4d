"""`/api/emit`: events of other programs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tradecast.background.tasks import cancel_and_wait
from tradecast.causes import SOME_REDIS, Cause, explain_error
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain
from tradecast.events.emit_requests import InvalidEvents, create_emit_schema, parse_batch
from tradecast.events.emitters import Emitters
from tradecast.events.symbols import Symbols
from tradecast.http.auth import require_token
from tradecast.http.bodies import read_json
from tradecast.http.responses import JsonResponse, Refused
from tradecast.packets import exact

SCHEMA_PATH = "/api/emit/schema"
log = structlog.stdlib.get_logger("tradecast.http")


def emit_routes(emitters: Emitters, tokens: Sequence[SecretStr], symbols: Symbols | None = None) -> list[BaseRoute]:
    """`POST /api/emit`, and its schema."""

    async def emit(request: Request) -> Response:
        if not tokens:
            raise Refused(403, "EMIT_CLOSED", "Set API_TOKEN to open this route")
        require_token(request, tokens)
        body = await read_json(request, exact.load_exact)
        try:
            parsed = parse_batch(body, symbols)
        except InvalidEvents as invalid:
            raise Refused(422, "INVALID_EVENT", str(invalid), problems=invalid.problems) from None
        outcome = await _emit_all(parsed.events, emitters)
        more: dict[str, Any] = {}
        if parsed.refused:
            more = {"refused": parsed.refused, "problems": parsed.problems}
        if outcome.failed or outcome.uncertain:
            message = "Redis did not accept these events: retry the failed ones; the uncertain ones may have been sent"
            more |= {"accepted": outcome.accepted, "failed": outcome.failed, "uncertain": outcome.uncertain}
            if outcome.cause is not None:
                more |= {"cause": str(outcome.cause.code), "reason": outcome.cause.without_address}
            raise Refused(503, "UNAVAILABLE", message, **more)
        return JsonResponse({"accepted": outcome.accepted, **more}, 202)

    async def schema(request: Request) -> Response:
        return JsonResponse(create_emit_schema())

    return [Route("/api/emit", emit, methods=["POST"]), Route(SCHEMA_PATH, schema)]


@dataclass(slots=True)
class _Outcome:
    """What became of events, by their numbers."""

    accepted: int
    failed: list[int]
    uncertain: list[int]
    cause: Cause | None = None


async def _emit_all(events: Sequence[tuple[int, Any]], emitters: Emitters) -> _Outcome:
    """Emit events, all at once and in order, so that they share round trips; every one of them is in the outcome."""
    tasks = {number: asyncio.ensure_future(event.emit(emitters)) for number, event in events}
    try:
        await asyncio.wait(tasks.values())
    except asyncio.CancelledError:  # the server stops, and this request has had its time
        await cancel_and_wait(*tasks.values())
    outcome = _Outcome(0, [], [])
    for number, task in tasks.items():
        error: BaseException | None = asyncio.CancelledError() if task.cancelled() else task.exception()
        if isinstance(error, AdapterUnavailable) and outcome.cause is None:
            outcome.cause = explain_error(error, SOME_REDIS)
        if error is None:
            outcome.accepted += 1
        elif isinstance(error, AdapterUnavailable) and not isinstance(error, PublishUncertain):
            outcome.failed.append(number)
        else:
            outcome.uncertain.append(number)
            if not isinstance(error, PublishUncertain | asyncio.CancelledError):
                log.error("an event could not be emitted", exc_info=error)
    return outcome
