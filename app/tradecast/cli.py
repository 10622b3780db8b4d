"""The command line: serve, demo, emit, session, load."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar, cast

import click
import httpx

from tradecast.auth.admin import InvalidRequest, NewSession, SessionAdmin
from tradecast.auth.errors import StoreUnavailable
from tradecast.lifecycle.process import PortInUse
from tradecast.observability.logs import configure_logging
from tradecast.observability.sentry import configure_sentry
from tradecast.server import WebSocketServer, create_process
from tradecast.settings import Settings, SettingsError, load_settings

T = TypeVar("T")
VERSION = importlib.metadata.version("tradecast")


def main() -> None:
    """The console script."""
    cli(prog_name="tradecast")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION)
def cli() -> None:
    """Push portfolio, trade, quote, notification and market events to traders over Socket.IO.

    Settings come from the environment; docs/settings.md lists them.
    """


# -- servers


@cli.command()
def serve() -> None:
    """Run a server, with settings from the environment.

    Needs a session store that other programs can write to: set MONGODB_URI or REDIS_URL (without either, sessions are
    in memory and made through the admin port: `tradecast session create`).
    """
    settings = _settings()
    _configure(settings)
    _run(_serve(settings))


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, help="Public port. [default: PORT, else 8000]")
@click.option("--admin-port", type=int, help="Admin port. [default: ADMIN_PORT, else 9100]")
@click.option(
    "--day-seconds", type=float, help="Seconds that one trading day takes. [default: DEMO_DAY_SECONDS, else 20]"
)
@click.option("--feed/--no-feed", default=True, show_default=True, help="Replay prices in this process.")
def demo(host: str, port: int | None, admin_port: int | None, day_seconds: float | None, feed: bool) -> None:
    """Run a server with the demo: replayed historical prices, demo users, and a page to watch them."""
    overrides = {
        "host": host,
        "admin_host": host,
        "port": port,
        "admin_port": admin_port,
        "demo_day_seconds": day_seconds,
    }
    given = {name: value for name, value in overrides.items() if value is not None}
    settings = _settings({"log_format": "console", "log_level": "warning"}, **given)
    _configure(settings)
    _run(_serve(settings, demo=True, feed=feed))


async def _serve(settings: Settings, *, demo: bool = False, feed: bool = True) -> None:
    async with contextlib.AsyncExitStack() as stack:
        server = WebSocketServer(settings)
        await server.initialize()
        stack.push_async_callback(server.shutdown)
        if demo:
            try:
                from tradecast.demo.app import run_demo
            except ImportError as error:
                raise click.ClickException(
                    f"the demo needs its extra: pip install 'tradecast[demo]' ({error.name})"
                ) from None
            await stack.enter_async_context(run_demo(server, feed=feed))
        process = create_process(server)
        await process.start()
        if demo:
            scheme = "https" if settings.ssl_certfile else "http"
            click.echo(f"tradecast demo: {scheme}://{settings.host}:{process.ports['public']}/   (Ctrl-C stops it)")
        await process.run_until_signal()


# -- events


@cli.command()
@click.argument(
    "event",
    type=click.Choice(
        EVENTS := (
            "portfolio:update",
            "trade:executed",
            "trade:failed",
            "position:closed",
            "notification",
            "watchlist:quote",
            "market:status",
        )
    ),
)
@click.argument("payload")
@click.option("--user", "user_id", help="Whose event it is (all but watchlist:quote and market:status).")
@click.option("--symbol", help="Which symbol the quote is for.")
@click.option("--url", envvar="TRADECAST_URL", default="http://127.0.0.1:8000", show_default=True, help="The server.")
@click.option("--token", envvar="API_TOKEN", help="Bearer token of /api/emit.")
def emit(event: str, payload: str, user_id: str | None, symbol: str | None, url: str, token: str | None) -> None:
    r"""Send one event: PAYLOAD is JSON, or - to read it from standard input.

    \b
    tradecast emit notification '{"title": "Hello"}' --user demo-premium
    tradecast emit watchlist:quote '{"price": 101.5}' --symbol AAPL
    """
    text = sys.stdin.read() if payload == "-" else payload
    try:
        content = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise click.BadParameter(f"is not JSON: {error}", param_hint="PAYLOAD") from None
    except RecursionError:
        raise click.BadParameter("is nested too deeply", param_hint="PAYLOAD") from None
    field = PAYLOAD_FIELDS[event]
    body: dict[str, Any] = {"event": event, field: content}
    if event == "watchlist:quote":
        body["symbol"] = _needed(symbol, "--symbol")
    elif event != "market:status":
        body["userId"] = _needed(user_id, "--user")
    # API_TOKEN may hold several, as the server's: any of them will do
    tokens = [word.strip() for word in (token or "").split(",") if word.strip()]
    if not tokens:
        raise click.UsageError("Set API_TOKEN or give --token: /api/emit needs the server's bearer token")
    answer = _request("POST", f"{url.rstrip('/')}/api/emit", token=tokens[0], body=body)
    click.echo(f"accepted: {answer.get('accepted')}")


PAYLOAD_FIELDS = {
    "portfolio:update": "portfolio",
    "trade:executed": "trade",
    "trade:failed": "failure",
    "position:closed": "position",
    "notification": "notification",
    "watchlist:quote": "quote",
    "market:status": "status",
}


# -- sessions


class Sessions(Protocol):
    """Sessions wherever they are: in a store that can be reached from here, or in a server's memory."""

    async def create(self, new: NewSession) -> dict[str, Any]: ...
    async def listed(self, user_id: str | None) -> list[dict[str, Any]]: ...
    async def revoke(self, which: dict[str, str]) -> int: ...


class StoreSessions:
    """Sessions in MongoDB or Redis."""

    def __init__(self, admin: SessionAdmin) -> None:
        self._admin = admin

    async def create(self, new: NewSession) -> dict[str, Any]:
        return await self._admin.create(new)

    async def listed(self, user_id: str | None) -> list[dict[str, Any]]:
        return [session.as_dict() for session in await self._admin.list(user_id)]

    async def revoke(self, which: dict[str, str]) -> int:
        names = {"sessionID": "session_id", "handle": "handle", "userId": "user_id"}
        return await self._admin.revoke(**{names[key]: value for key, value in which.items()})


class RemoteSessions:
    """Sessions in a server's memory, through its admin port."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._token = token

    async def create(self, new: NewSession) -> dict[str, Any]:
        user = new.user
        body = {"userId": user.id, "name": user.name, "email": user.email, "tier": user.tier, "isAdmin": user.is_admin}
        return self._ask("POST", "/admin/sessions", {**body, "maxAge": new.max_age})

    async def listed(self, user_id: str | None) -> list[dict[str, Any]]:
        params = {"userId": user_id} if user_id is not None else None
        answer = _request("GET", f"{self._url}/admin/sessions", token=self._token, params=params)
        return cast("list[dict[str, Any]]", answer["sessions"])

    async def revoke(self, which: dict[str, str]) -> int:
        return int(self._ask("POST", "/admin/sessions/revoke", which)["revoked"])

    def _ask(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return _request(method, self._url + path, token=self._token, body=body)


@contextlib.asynccontextmanager
async def _sessions(settings: Settings, admin_url: str) -> AsyncIterator[Sessions]:
    if settings.store_name == "memory":
        token = settings.admin_token[0].get_secret_value() if settings.admin_token else None
        yield RemoteSessions(admin_url, token)
        return
    from tradecast.adapter.redis import create_redis
    from tradecast.auth.sessions import create_sessions

    redis = create_redis(settings) if settings.redis_url else None
    book = create_sessions(settings, redis)
    try:
        yield StoreSessions(SessionAdmin(book))
    finally:
        await book.close()
        if redis is not None:
            await redis.aclose()


admin_url_option = click.option(
    "--admin-url",
    envvar="TRADECAST_ADMIN_URL",
    default="http://127.0.0.1:9100",
    show_default=True,
    help="Admin port of the server, where sessions are in its memory.",
)


@cli.group()
def session() -> None:
    """Make, list and end sessions.

    In MongoDB or Redis as MONGODB_URI, REDIS_URL and SESSION_STORE say; without them, in the memory of a running server
    through its admin port.
    """


@session.command("create")
@click.argument("user_id")
@click.option("--tier", type=click.Choice(["free", "premium", "enterprise"]), default="free", show_default=True)
@click.option("--admin/--no-admin", default=False, show_default=True)
@click.option("--name", default="", help="The user's name.")
@click.option("--email", default="", help="The user's e-mail address.")
@click.option("--max-age", type=float, default=86_400, show_default=True, help="Seconds until it expires.")
@admin_url_option
def session_create(user_id: str, tier: str, admin: bool, name: str, email: str, max_age: float, admin_url: str) -> None:
    """Make a session for USER_ID and print it as JSON, as clients pass it in their handshake."""
    body = {"userId": user_id, "name": name, "email": email, "tier": tier, "isAdmin": admin, "maxAge": max_age}

    async def work(settings: Settings, sessions: Sessions) -> None:
        click.echo(json.dumps(await sessions.create(NewSession.parse(body, settings.session_max_age))))

    _with_sessions(work, admin_url)


@session.command("list")
@click.option("--user", "user_id", help="Only this user's.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@admin_url_option
def session_list(user_id: str | None, as_json: bool, admin_url: str) -> None:
    """List sessions that are not over. Ids are not shown: a handle names each."""

    async def work(settings: Settings, sessions: Sessions) -> None:
        found = await sessions.listed(user_id)
        if as_json:
            click.echo(json.dumps(found))
            return
        click.echo(f"{'HANDLE':14}{'USER':26}{'TIER':12}{'ADMIN':7}EXPIRES")
        for one in found:
            expires = datetime.fromtimestamp(one["expiresAt"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            admin = "yes" if one["isAdmin"] else "no"
            click.echo(f"{one['handle']:14}{one['userId'][:25]:26}{one['tier']:12}{admin:7}{expires}")

    _with_sessions(work, admin_url)


@session.command("revoke")
@click.option("--handle", help="The session with this handle.")
@click.option("--user", "user_id", help="All sessions of this user.")
@click.option(
    "--stdin", "from_stdin", is_flag=True, help="The session id on standard input (not in the shell's history)."
)
@admin_url_option
def session_revoke(handle: str | None, user_id: str | None, from_stdin: bool, admin_url: str) -> None:
    """End sessions; their connections end within a second."""
    session_id = sys.stdin.readline().strip() if from_stdin else None
    which = {key: value for key, value in (("handle", handle), ("userId", user_id), ("sessionID", session_id)) if value}
    if len(which) != 1:
        raise click.UsageError("Give one of --handle, --user, --stdin")

    async def work(settings: Settings, sessions: Sessions) -> None:
        count = await sessions.revoke(which)
        click.echo(f"revoked: {count}")
        if not count:
            raise click.ClickException("there is no such session")

    _with_sessions(work, admin_url)


# -- helpers


def _settings(defaults: dict[str, str] | None = None, **overrides: Any) -> Settings:
    import os

    environ = {**{name.upper(): value for name, value in (defaults or {}).items()}, **os.environ}
    try:
        return load_settings(environ, **overrides)
    except SettingsError as error:
        _refuse(error)


def _refuse(error: SettingsError) -> NoReturn:
    lines = "\n".join(f"  {line}" for line in str(error).splitlines())
    click.echo(f"These settings make no sense:\n{lines}", err=True)
    sys.exit(2)


def _configure(settings: Settings) -> None:
    configure_logging(settings.log_level, settings.log_format)
    if settings.sentry_dsn is not None:
        try:
            configure_sentry(settings.sentry_dsn.get_secret_value(), settings.sentry_environment, VERSION)
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None


def _run(work: Coroutine[Any, Any, T]) -> T:
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        try:
            return runner.run(work)
        except PortInUse as error:
            raise click.ClickException(str(error)) from None
        except SettingsError as error:  # what only the drivers can tell
            _refuse(error)


def _with_sessions(work: Callable[[Settings, Sessions], Coroutine[Any, Any, None]], admin_url: str) -> None:
    settings = _settings()
    configure_logging("error", "console")

    async def run() -> None:
        async with _sessions(settings, admin_url) as sessions:
            try:
                await work(settings, sessions)
            except InvalidRequest as error:
                raise click.UsageError(str(error)) from None
            except StoreUnavailable:
                raise click.ClickException(f"the session store ({settings.store_name}) does not answer") from None

    _run(run())


def _needed(value: str | None, option: str) -> str:
    if not value:
        raise click.UsageError(f"{option} is needed for this event")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"there is no {name} in JSON")


def _request(
    method: str, url: str, *, token: str | None, body: Any = None, params: dict[str, str] | None = None
) -> dict[str, Any]:
    # as bytes: httpx would refuse what is not ASCII
    headers = {"authorization": f"Bearer {token}".encode()} if token else {}
    try:
        answer = httpx.request(method, url, headers=headers, json=body, params=params, timeout=10)
    except httpx.InvalidURL as error:
        raise click.ClickException(f"{url} is no address: {error}") from None
    except httpx.HTTPError as error:
        raise click.ClickException(f"no answer from {url}: {type(error).__name__}") from None
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise click.ClickException(f"{url} answered {answer.status_code} and not as a tradecast server does")
    if answer.status_code >= 400:
        problems = "".join(f"\n  {problem['at']}: {problem['message']}" for problem in content.get("problems", ()))
        raise click.ClickException(f"{content.get('code')}: {content.get('message')}{problems}")
    return cast("dict[str, Any]", content)


@cli.command()
@click.option("--credentials", type=click.Path(path_type=Path), help="TODO")
def load(credentials: Path | None) -> None:
    """Placeholder until the load engine is in."""
