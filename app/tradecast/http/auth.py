"""Who may use a route: whoever has a token, a signature, or a process on this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from tradecast.http.bodies import read_body
from tradecast.http.responses import Handler, Refused
from tradecast.http.signed_requests import SCHEME, SignedRequests
from tradecast.tokens import any_token_matches

# Of a signed request, whose sender is not known until it has been read.
MAX_SIGNED_BODY = 4_096


def require_token(request: Request, tokens: Sequence[SecretStr]) -> None:
    """Pass if the request carries one of the bearer tokens (RFC 6750).

    Raises:
        Refused: 401.
    """
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    candidate = given.strip().encode("latin-1")  # the bytes that were sent
    ok = any_token_matches(candidate, (token.get_secret_value().encode() for token in tokens))
    if scheme.lower() != "bearer" or not ok:
        message = "A valid bearer token is required"
        raise Refused(401, "UNAUTHORIZED", message, headers={"www-authenticate": 'Bearer realm="tradecast"'})


def require_loopback(request: Request) -> None:
    """Pass if the request was made on this machine, by a program: not through a proxy, and not by a page in a browser.

    A page could send it from any site (cross-site requests), or read the answer (DNS rebinding).

    Raises:
        Refused: 403.
    """
    forwarded = any(name in request.headers for name in ("x-forwarded-for", "forwarded", "origin"))
    if (
        forwarded
        or not _is_loopback(request.client.host if request.client else "")
        or not _is_loopback(_read_host(request))
    ):
        raise Refused(403, "FORBIDDEN", "Without ADMIN_TOKEN, admin routes answer programs on this machine only")


def _read_host(request: Request) -> str:
    return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Lets requests to admin routes through: with a token, or from this machine where there is none.

    Args:
        tokens: ADMIN_TOKEN; any of them.
        signed: Accepts signed requests besides; None: the routes are not for the operator.
    """

    def __init__(self, tokens: Sequence[SecretStr], signed: SignedRequests | None = None) -> None:
        self._tokens = tokens
        self._signed = signed

    def protect(self, handler: Handler) -> Handler:
        """The handler behind the guard."""

        async def guarded(request: Request) -> Response:
            signed = self._signed
            if not self._tokens:
                require_loopback(request)
            elif signed is None:
                require_token(request, self._tokens)
            elif signed.nonce_of(request.headers.get("authorization", "")) is not None:
                return await _answer_signed(request, handler, signed)
            else:
                try:
                    require_token(request, self._tokens)
                except Refused as refused:
                    raise _offer_nonce(refused, signed) from None
            return await handler(request)

        return guarded


async def _answer_signed(request: Request, handler: Handler, signed: SignedRequests) -> Response:
    """Raises Refused: 401, with another nonce; 413."""
    body = await read_body(request, MAX_SIGNED_BODY)
    scope = request.scope
    target = scope.get("raw_path") or scope["path"].encode()
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    if not signed.accept(request.headers["authorization"], scope["method"], target, body):
        message = "The signature is wrong, is for another pod, or was used before"
        raise _offer_nonce(Refused(401, "UNAUTHORIZED", message), signed)

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    more = {"authentication-info": f'nextnonce="{signed.offer()}"'}
    try:
        response = await handler(Request(scope, replay))
    except Refused as refused:
        refused.headers = {**(refused.headers or {}), **more}
        raise
    response.headers.update(more)
    return response


def _offer_nonce(refused: Refused, signed: SignedRequests) -> Refused:
    challenge = f'Bearer realm="tradecast", {SCHEME} nonce="{signed.offer()}"'
    refused.headers = {**(refused.headers or {}), "www-authenticate": challenge}
    return refused
