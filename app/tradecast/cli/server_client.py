"""A running server, through its HTTP ports: the one client of all commands."""

from __future__ import annotations

import dataclasses
import json
from types import TracebackType
from typing import Any, Self, cast

import click
import httpx

from tradecast.causes import SERVER, Place, Setting
from tradecast.cli.startup import describe_cause
from tradecast.redis_client.peer import explain_once
from tradecast.sessions.admin import NewSession

TIMEOUT = 10


class ServerClient:
    """Asks a server to emit events (public or admin port) and to manage the sessions in its memory (admin port).

    Every failure, a server that is down among them, is a `click.ClickException` that says what to do.

    Args:
        url: Of the port.
        token: API_TOKEN or ADMIN_TOKEN; None: without.
        option: The option of the command line that named the URL.
    """

    def __init__(self, url: str, token: str | None, option: Setting) -> None:
        headers = {b"content-type": b"application/json"}
        if token:
            headers[b"authorization"] = f"Bearer {token}".encode()  # as bytes: httpx would refuse what is not ASCII
        self._option = option
        try:
            self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT)
        except httpx.InvalidURL as error:
            raise click.ClickException(f"{url} is not a valid URL: {error}") from None

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, traceback)

    async def emit(self, event: dict[str, Any]) -> int:
        """Emit one event (`POST /api/emit`); how many were accepted."""
        return int((await self._request("POST", "/api/emit", body=event))["accepted"])

    async def create_session(self, new: NewSession) -> dict[str, Any]:
        """See `cli.sessions.Sessions`."""
        user = new.user
        body = {"userId": user.id, "name": user.name, "email": user.email, "tier": user.tier, "isAdmin": user.is_admin}
        return await self._request("POST", "/admin/sessions", body={**body, "maxAge": new.max_age})

    async def list_sessions(self, user_id: str | None) -> list[dict[str, Any]]:
        """See `cli.sessions.Sessions`."""
        params = {"userId": user_id} if user_id is not None else None
        answer = await self._request("GET", "/admin/sessions", params=params)
        return cast("list[dict[str, Any]]", answer["sessions"])

    async def revoke_sessions(self, which: dict[str, Any]) -> int:
        """See `cli.sessions.Sessions`."""
        return int((await self._request("POST", "/admin/sessions/revoke", body=which))["revoked"])

    async def _request(
        self, method: str, path: str, *, body: Any = None, params: dict[str, str] | None = None
    ) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        try:
            answer = await self._http.request(method, path, content=content, params=params)
        except httpx.HTTPError as error:
            raise click.ClickException(await self._explain(error)) from None
        try:
            decoded = answer.json()
        except ValueError:
            decoded = None
        if not isinstance(decoded, dict):
            raise click.ClickException(
                f"{self._http.base_url} answered {answer.status_code}, but not as a tradecast server does"
            )
        if answer.status_code >= 400:
            problems = "".join(f"\n  {problem['at']}: {problem['message']}" for problem in decoded.get("problems", ()))
            raise click.ClickException(f"{decoded.get('code')}: {decoded.get('message')}{problems}")
        return decoded

    async def _explain(self, error: httpx.HTTPError) -> str:
        base = self._http.base_url
        address = base.netloc.decode().rpartition("@")[2]
        tls = base.scheme == "https"
        place = Place(SERVER, address if base.port else f"{address}:{443 if tls else 80}", self._option)
        cause = await explain_once(error, dataclasses.replace(place, tls=tls))
        where = "the server's admin port" if self._option == "--admin-url" else "the server"
        return f"cannot reach {where}, {base}: {describe_cause(cause)}"
