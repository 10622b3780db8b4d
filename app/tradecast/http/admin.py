"""`/admin/…`: sessions, stats, drain and shed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tradecast.http.auth import Guard
from tradecast.http.bodies import read_fields, read_json
from tradecast.http.responses import Handler, JsonResponse, Refused
from tradecast.http.signed_requests import SignedRequests
from tradecast.lifecycle.draining.drain import Drain, DrainConflict
from tradecast.sessions.admin import InvalidRequest, NewSession, SessionAdmin, read_selection
from tradecast.sessions.errors import StoreUnavailable


@dataclass(frozen=True, slots=True)
class NumberField:
    """A field of a request to drain or to shed that is a number.

    Attributes:
        unit: In words.
        most: The largest value.
        least: The smallest one; 0: anything above it.
    """

    unit: str
    most: float
    least: float = 0

    def __str__(self) -> str:
        return f"{self.unit}, {f'from {self.least:g} to' if self.least else 'above 0 and at most'} {self.most:g}"


NUMBER_FIELDS: Final = {
    "rate": NumberField("connections per second", 100_000, least=0.001),
    "timeout": NumberField("seconds", 86_400),
    "endsWithin": NumberField("seconds", 86_400),
    "renewWithin": NumberField("seconds", 3_600, least=1),
}


class StatsSource(Protocol):
    """What `/admin/stats` answers with."""

    def get_stats(self) -> dict[str, Any]: ...


def show_errors(handler: Handler) -> Handler:
    """The handler, whose errors are answered with a code and a sentence."""

    async def showing(request: Request) -> Response:
        try:
            return await handler(request)
        except InvalidRequest as invalid:
            raise Refused(422, "INVALID_REQUEST", str(invalid)) from None
        except StoreUnavailable as away:
            why = "The session store does not answer" if away.cause is None else away.cause.sentence
            raise Refused(503, "UNAVAILABLE", why) from None
        except DrainConflict as conflict:
            raise Refused(409, "CONFLICT", str(conflict)) from None

    return showing


def admin_routes(
    sessions: SessionAdmin,
    stats: StatsSource,
    tokens: Sequence[SecretStr],
    longest_session: float,
    signed: SignedRequests | None = None,
) -> list[BaseRoute]:
    """`/admin/…` for sessions and stats: behind a token, or open to this machine where none is set.

    Args:
        sessions: Creates, lists and revokes them.
        stats: How the server runs.
        tokens: ADMIN_TOKEN.
        longest_session: Seconds that a new session may last.
        signed: Opens stats as well, but not sessions.
    """
    for_operator, for_admin = Guard(tokens, signed), Guard(tokens)

    async def get_stats(request: Request) -> Response:
        return JsonResponse(stats.get_stats())

    async def list_sessions(request: Request) -> Response:
        listed = await sessions.list(request.query_params.get("userId"))
        return JsonResponse({"sessions": [session.as_dict() for session in listed]})

    async def create_session(request: Request) -> Response:
        return JsonResponse(await sessions.create(NewSession.parse(await read_json(request), longest_session)), 201)

    async def revoke_sessions(request: Request) -> Response:
        return JsonResponse({"revoked": await sessions.revoke(**read_selection(await read_json(request)))})

    return [
        Route("/admin/stats", for_operator.protect(get_stats)),
        Route("/admin/sessions", for_admin.protect(show_errors(list_sessions)), methods=["GET"]),
        Route("/admin/sessions", for_admin.protect(show_errors(create_session)), methods=["POST"]),
        Route("/admin/sessions/revoke", for_admin.protect(show_errors(revoke_sessions)), methods=["POST"]),
    ]


def drain_routes(drain: Drain, tokens: Sequence[SecretStr], signed: SignedRequests | None = None) -> list[BaseRoute]:
    """`/admin/drain` and `/admin/shed`, guarded as `/admin/stats`."""
    guard = Guard(tokens, signed)

    async def start(request: Request) -> Response:
        body = await read_fields(request, NUMBER_FIELDS)
        rate, timeout, ends_within, renew_within = (_read_number(body, name) for name in NUMBER_FIELDS)
        drain.start(rate, timeout, ends_within=ends_within, renew_within=renew_within)
        return JsonResponse(drain.stats(), 202)

    async def cancel(request: Request) -> Response:
        return JsonResponse({"cancelled": drain.cancel()})

    async def shed(request: Request) -> Response:
        body = await read_fields(request, {"count", "rate"})
        count = body.get("count")
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise InvalidRequest("count: must be an integer of at least 1")
        return JsonResponse({"shedding": drain.shed(count, _read_number(body, "rate"))}, 202)

    async def cancel_shedding(request: Request) -> Response:
        return JsonResponse({"cancelled": drain.cancel_shedding()})

    return [
        Route("/admin/drain", guard.protect(show_errors(start)), methods=["POST"]),
        Route("/admin/drain", guard.protect(show_errors(cancel)), methods=["DELETE"]),
        Route("/admin/shed", guard.protect(show_errors(shed)), methods=["POST"]),
        Route("/admin/shed", guard.protect(show_errors(cancel_shedding)), methods=["DELETE"]),
    ]


def _read_number(body: Mapping[str, Any], name: str) -> float | None:
    value, field = body.get(name), NUMBER_FIELDS[name]
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= field.most or value < field.least:
        raise InvalidRequest(f"{name}: must be a number of {field}")
    return float(value)
