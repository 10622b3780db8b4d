"""Where a command finds the sessions: in a store that it can reach, or in a server's memory."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Protocol

import click

from tradecast.causes import MONGODB, Place
from tradecast.cli.server_client import ServerClient
from tradecast.cli.startup import configure_command, describe_cause, read_settings, run_command
from tradecast.config.settings import Settings
from tradecast.redis_client.peer import explain_once
from tradecast.sessions.admin import InvalidRequest, NewSession, SessionAdmin, read_selection
from tradecast.sessions.errors import StoreUnavailable

admin_url_option = click.option(
    "--admin-url",
    envvar="TRADECAST_ADMIN_URL",
    default="http://127.0.0.1:9100",
    show_default=True,
    help="Admin port of the server, where sessions are in its memory.",
)


class Sessions(Protocol):
    """Sessions, wherever they are."""

    async def create_session(self, new: NewSession) -> dict[str, Any]:
        """Create one: `{sessionID, userId, expiresAt}`, as clients pass it in their handshake."""
        ...

    async def list_sessions(self, user_id: str | None) -> list[dict[str, Any]]:
        """List sessions that have not expired, of one user or all: `{handle, userId, tier, isAdmin, expiresAt}`."""
        ...

    async def revoke_sessions(self, which: dict[str, Any]) -> int:
        """End those of `{sessionID}`, `{handle}`, `{userId}` or `{all: true}`; how many there were."""
        ...


class SessionWork(Protocol):
    """What a command does with sessions."""

    def __call__(self, settings: Settings, sessions: Sessions, /) -> Awaitable[None]: ...


class StoreSessions:
    """Sessions in MongoDB or Redis."""

    def __init__(self, admin: SessionAdmin) -> None:
        self._admin = admin

    async def create_session(self, new: NewSession) -> dict[str, Any]:
        """See `Sessions`."""
        return await self._admin.create(new)

    async def list_sessions(self, user_id: str | None) -> list[dict[str, Any]]:
        """See `Sessions`."""
        return [session.as_dict() for session in await self._admin.list(user_id)]

    async def revoke_sessions(self, which: dict[str, Any]) -> int:
        """See `Sessions`."""
        return await self._admin.revoke(**read_selection(which))


def run_with_sessions(work: SessionWork, admin_url: str) -> None:
    """Run a command's work on the sessions that the settings name; what goes wrong is shown without a traceback."""
    settings = read_settings()
    configure_command()
    run_command(_work_with_sessions(work, settings, admin_url))


async def _work_with_sessions(work: SessionWork, settings: Settings, admin_url: str) -> None:
    async with _open_sessions(settings, admin_url) as sessions:
        try:
            await work(settings, sessions)
        except InvalidRequest as error:
            raise click.UsageError(str(error)) from None
        except StoreUnavailable as error:
            cause = await explain_once(error, error.cause.place if error.cause is not None else Place(MONGODB))
            how = "does not answer" if cause.is_silence else "cannot be used"
            store = f"the session store ({settings.store_name}) {how}"
            raise click.ClickException(f"{store}: {describe_cause(cause)}") from None


@contextlib.asynccontextmanager
async def _open_sessions(settings: Settings, admin_url: str) -> AsyncIterator[Sessions]:
    if settings.store_name == "memory":
        token = settings.admin_token[0].get_secret_value() if settings.admin_token else None
        async with ServerClient(admin_url, token, "--admin-url") as server:
            yield server
        return
    from tradecast.redis_client.client import create_redis
    from tradecast.sessions.create import create_sessions

    redis = create_redis(settings) if settings.redis_url else None
    book = create_sessions(settings, redis)
    try:
        yield StoreSessions(SessionAdmin(book))
    finally:
        await book.close()
        if redis is not None:
            await redis.aclose()
