"""The command line: serve, check, demo, feed, emit, session, load."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol, TypeVar, cast

import click
import httpx

from tradecast.bootstrap.environment import warn_of_misspelt
from tradecast.bootstrap.ports import create_process
from tradecast.causes import MONGODB, SERVER, Cause, Place, Setting
from tradecast.check.run import run_check
from tradecast.config.settings import Settings, SettingsError, load_settings, normalize_socket_path
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain
from tradecast.demo.prices import PricesUnavailable
from tradecast.events.emit_requests import PAYLOADS, InvalidEvents, parse_events
from tradecast.events.symbols import Symbols
from tradecast.lifecycle.open_files import raise_limit
from tradecast.lifecycle.ports import PortInUse, find_reachable, join_address
from tradecast.lifecycle.process import tune_garbage_collection
from tradecast.load.backoff import Backoff
from tradecast.load.client import Credential
from tradecast.load.options import LoadOptions, OptionsError
from tradecast.load.report import LoadReport
from tradecast.load.run import LoadError, Progress
from tradecast.load.run import run as run_load
from tradecast.observability.logs import configure_logging
from tradecast.observability.sentry import configure_sentry
from tradecast.packets import exact
from tradecast.publishing.publisher import Publisher
from tradecast.redis_client.peer import explain_here
from tradecast.server import WebSocketServer
from tradecast.sessions.admin import InvalidRequest, NewSession, SessionAdmin, selection
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.models import User

T = TypeVar("T")
DEFAULT_URL = "http://127.0.0.1:8000"
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


@cli.command(short_help="Look at settings, Redis, MongoDB and ports, and say what is wrong.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def check(as_json: bool) -> None:
    """Look at what a server with these settings needs, without running one, and say what would run or what is wrong.

    Reads the settings, connects to Redis and MongoDB, and looks at permissions, certificates, memory policy, cluster
    mode, ports and limits. Exits with 1 if something would not work, with 2 if the settings make no sense.
    """
    configure_logging("error", "console")
    try:
        settings = load_settings(os.environ)
        report = _run_as_is(run_check(settings, os.environ, _say_slow))
    except SettingsError as error:
        if not as_json:
            _refuse(error)
        click.echo(json.dumps({"ok": False, "settings": str(error).splitlines()}))
        sys.exit(2)
    click.echo(json.dumps(report.as_dict()) if as_json else report.text())
    if not report.ok:
        sys.exit(1)


def _say_slow(what: str) -> None:
    click.echo(f"looking at {what} …", err=True)


@cli.command(short_help="Run a server with the demo: its page, users and prices.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; * for all.")
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
        "internal_host": host,
        "port": port,
        "admin_port": admin_port,
        "demo_day_seconds": day_seconds,
    }
    given = {name: value for name, value in overrides.items() if value is not None}
    settings = _settings({"log_format": "console", "log_level": "warning"}, **given)
    _configure(settings)
    _run(_serve(settings, demo=True, feed=feed))


@cli.command(short_help="Replay the demo's prices for all servers on one Redis.")
def feed() -> None:
    """Replay the demo's prices for all servers on one Redis (`tradecast demo --no-feed`).

    Of several feeds one publishes; the others take its place when it is gone. Health and metrics are on ADMIN_PORT.
    """
    settings = _settings()
    _configure(settings)
    _run(_feed(settings))


async def _feed(settings: Settings) -> None:
    with _demo_errors():
        from tradecast.demo.fleet import FeedProcess

        process = FeedProcess(settings, VERSION)
    await process.run()


@contextlib.contextmanager
def _demo_errors() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        needed = "the demo needs its extra: pip install '.[demo]' in tradecast's folder"
        raise click.ClickException(f"{needed} ({error.name})") from None
    except SettingsError:
        raise
    except (PricesUnavailable, ValueError) as error:
        raise click.ClickException(str(error)) from None


async def _serve(settings: Settings, *, demo: bool = False, feed: bool = True) -> None:
    raise_limit()
    async with contextlib.AsyncExitStack() as stack:
        server = WebSocketServer(settings)
        await server.initialize()
        stack.push_async_callback(server.shutdown)
        if demo:
            with _demo_errors():
                from tradecast.demo.app import run_demo

                await stack.enter_async_context(run_demo(server, feed=feed))
        process = create_process(server)
        await process.start()
        tune_garbage_collection()
        if demo:
            scheme = "https" if settings.ssl_certfile else "http"
            at = join_address(find_reachable(settings.host), process.ports["public"])
            click.echo(f"tradecast demo: {scheme}://{at}/   (Ctrl-C stops it)")
        await process.run_until_signal()


# -- events

# Behind \b, which click takes for "leave the lines as they are".
EMIT_EPILOG = "\n".join(
    (
        "\b",
        "EVENT is one of:",
        *(f"  {event}" for event in PAYLOADS),
        "",
        "\b",
        "Examples:",
        """  tradecast emit notification '{"title": "Hello"}' --user demo-premium""",
        """  tradecast emit watchlist:quote '{"price": 101.5}' --symbol AAPL""",
    )
)


@cli.command(epilog=EMIT_EPILOG, short_help="Send one event to its users, or to all.")
@click.argument("event", type=click.Choice(list(PAYLOADS)), metavar="EVENT")
@click.argument("payload")
@click.option("--user", "user_id", help="Whose event it is (all but watchlist:quote and market:status).")
@click.option("--symbol", help="Which symbol the quote is for.")
@click.option(
    "--url",
    envvar="TRADECAST_URL",
    help="The server.  [default: none with REDIS_URL (but in ADAPTER_MODE single), else http://127.0.0.1:8000]",
)
@click.option("--token", envvar="API_TOKEN", help="Bearer token of /api/emit.")
def emit(event: str, payload: str, user_id: str | None, symbol: str | None, url: str | None, token: str | None) -> None:
    """Send one event: PAYLOAD is JSON, or - to read it from standard input.

    With REDIS_URL, and unless --url names a server, it goes through Redis to the clients of every server; no server
    and no token is needed. Else through a server's /api/emit.
    """
    text = sys.stdin.read() if payload == "-" else payload
    field = PAYLOADS[event]
    try:
        content = exact.to_plain(exact.load(text), (field,))
    except exact.NotExact as error:
        raise click.BadParameter(str(error), param_hint="PAYLOAD") from None
    except ValueError as error:
        raise click.BadParameter(f"is not JSON: {error}", param_hint="PAYLOAD") from None
    body: dict[str, Any] = {"event": event, field: content}
    if event == "watchlist:quote":
        body["symbol"] = _needed(symbol, "--symbol")
    elif event != "market:status":
        body["userId"] = _needed(user_id, "--user")
    if url is None and os.environ.get("REDIS_URL") and os.environ.get("ADAPTER_MODE", "").strip().lower() != "single":
        configure_logging("error", "console")
        _run(_publish(body))
        click.echo("accepted: 1")
        return
    bearer = _one_of(token)
    if bearer is None:
        raise click.UsageError("Set API_TOKEN or give --token: /api/emit needs the server's bearer token")

    async def send() -> dict[str, Any]:
        async with _http_client(url or DEFAULT_URL, bearer) as http:
            return await _request(http, "POST", "/api/emit", body=body)

    click.echo(f"accepted: {_run(send()).get('accepted')}")


async def _publish(body: dict[str, Any]) -> None:
    settings = _settings()
    try:
        events = parse_events(body, Symbols(settings.symbol_pattern))
    except InvalidEvents as invalid:
        raise click.ClickException("; ".join(f"{one['at']}: {one['message']}" for one in invalid.problems)) from None
    try:
        async with Publisher(settings) as publisher:
            for event in events:
                await event.emit(publisher)
    except AdapterUnavailable as error:
        cause = await explain_here(error, publisher.place)
        known = "the event may have been sent, or not" if isinstance(error, PublishUncertain) else "not sent"
        silence = "Redis did not answer in time: " if cause.is_silence else ""
        raise click.ClickException(f"{known}: {silence}{_in_words(cause)}") from None


# -- sessions


class Sessions(Protocol):
    """Sessions wherever they are: in a store that can be reached from here, or in a server's memory."""

    async def create(self, new: NewSession) -> dict[str, Any]: ...
    async def listed(self, user_id: str | None) -> list[dict[str, Any]]: ...
    async def revoke(self, which: dict[str, Any]) -> int: ...


class StoreSessions:
    """Sessions in MongoDB or Redis."""

    def __init__(self, admin: SessionAdmin) -> None:
        self._admin = admin

    async def create(self, new: NewSession) -> dict[str, Any]:
        return await self._admin.create(new)

    async def listed(self, user_id: str | None) -> list[dict[str, Any]]:
        return [session.as_dict() for session in await self._admin.list(user_id)]

    async def revoke(self, which: dict[str, Any]) -> int:
        return await self._admin.revoke(**selection(which))


class RemoteSessions:
    """Sessions in a server's memory, through its admin port."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def create(self, new: NewSession) -> dict[str, Any]:
        user = new.user
        body = {"userId": user.id, "name": user.name, "email": user.email, "tier": user.tier, "isAdmin": user.is_admin}
        return await _request(self._http, "POST", "/admin/sessions", body={**body, "maxAge": new.max_age})

    async def listed(self, user_id: str | None) -> list[dict[str, Any]]:
        params = {"userId": user_id} if user_id is not None else None
        answer = await _request(self._http, "GET", "/admin/sessions", params=params)
        return cast("list[dict[str, Any]]", answer["sessions"])

    async def revoke(self, which: dict[str, Any]) -> int:
        return int((await _request(self._http, "POST", "/admin/sessions/revoke", body=which))["revoked"])


@contextlib.asynccontextmanager
async def _sessions(settings: Settings, admin_url: str) -> AsyncIterator[Sessions]:
    if settings.store_name == "memory":
        token = settings.admin_token[0].get_secret_value() if settings.admin_token else None
        async with _http_client(admin_url, token) as http:
            yield RemoteSessions(http)
        return
    from tradecast.redis_client.client import create_redis
    from tradecast.sessions.service import create_sessions

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


@session.command("create", short_help="Make a session and print it as JSON.")
@click.argument("user_id")
@click.option(
    "--tier",
    type=click.Choice(["free", "premium", "enterprise"]),
    default="free",
    show_default=True,
    help="What the user has subscribed to.",
)
@click.option("--admin/--no-admin", default=False, show_default=True, help="Whether the user may broadcast.")
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
@click.option("--all", "everything", is_flag=True, help="All sessions of all users.")
@admin_url_option
def session_revoke(handle: str | None, user_id: str | None, from_stdin: bool, everything: bool, admin_url: str) -> None:
    """End sessions; their connections end within a second.

    So are those ended that the store has lost, whose connections would go on for up to 15 minutes.
    """
    session_id = sys.stdin.readline().strip() if from_stdin else None
    given = (("handle", handle), ("userId", user_id), ("sessionID", session_id), ("all", everything))
    which: dict[str, Any] = {key: value for key, value in given if value}
    if len(which) != 1:
        raise click.UsageError("Give one of --handle, --user, --stdin, --all")

    async def work(settings: Settings, sessions: Sessions) -> None:
        count = await sessions.revoke(which)
        click.echo(f"revoked: {count}")
        if not count and not everything:
            raise click.ClickException("there is no such session")

    _with_sessions(work, admin_url)


# -- helpers


def _settings(defaults: dict[str, str] | None = None, **overrides: Any) -> Settings:
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
    warn_of_misspelt(os.environ)
    if settings.sentry_dsn is not None:
        try:
            configure_sentry(settings.sentry_dsn.get_secret_value(), settings.sentry_environment, VERSION)
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return _run_as_is(work)
    except PortInUse as error:
        raise click.ClickException(str(error)) from None
    except SettingsError as error:  # what only the drivers can tell
        _refuse(error)


def _run_as_is(work: Coroutine[Any, Any, T]) -> T:
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(work)


def _with_sessions(work: Callable[[Settings, Sessions], Coroutine[Any, Any, None]], admin_url: str) -> None:
    settings = _settings()
    configure_logging("error", "console")

    async def run() -> None:
        async with _sessions(settings, admin_url) as sessions:
            try:
                await work(settings, sessions)
            except InvalidRequest as error:
                raise click.UsageError(str(error)) from None
            except StoreUnavailable as error:
                cause = await explain_here(error, error.cause.place if error.cause is not None else Place(MONGODB))
                how = "does not answer" if cause.is_silence else "cannot be used"
                store = f"the session store ({settings.store_name}) {how}"
                raise click.ClickException(f"{store}: {_in_words(cause)}") from None

    _run(run())


def _in_words(cause: Cause) -> str:
    return f"{cause.sentence}\n  {cause.remedy}"


def _one_of(tokens: str | None) -> str | None:
    """API_TOKEN may hold several, as the server's: any of them will do."""
    words = [word.strip() for word in (tokens or "").split(",") if word.strip()]
    return words[0] if words else None


def _needed(value: str | None, option: str) -> str:
    if not value:
        raise click.UsageError(f"{option} is needed for this event")
    return value


def _http_client(url: str, token: str | None) -> httpx.AsyncClient:
    headers = {b"content-type": b"application/json"}
    if token:
        headers[b"authorization"] = f"Bearer {token}".encode()  # as bytes: httpx would refuse what is not ASCII
    try:
        return httpx.AsyncClient(base_url=url, headers=headers, timeout=10)
    except httpx.InvalidURL as error:
        raise click.ClickException(f"{url} is no address: {error}") from None


async def _request(
    http: httpx.AsyncClient, method: str, path: str, *, body: Any = None, params: dict[str, str] | None = None
) -> dict[str, Any]:
    content = None if body is None else json.dumps(body).encode()
    try:
        answer = await http.request(method, path, content=content, params=params)
    except httpx.HTTPError as error:
        base = http.base_url
        at = base.netloc.decode().rpartition("@")[2]
        setting: Setting = "--admin-url" if path.startswith("/admin/") else "--url"
        place = Place(SERVER, at if base.port else f"{at}:{443 if base.scheme == 'https' else 80}", setting)
        cause = await explain_here(error, dataclasses.replace(place, tls=base.scheme == "https"))
        raise click.ClickException(f"no answer from {base}: {_in_words(cause)}") from None
    try:
        told = answer.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise click.ClickException(f"{http.base_url} answered {answer.status_code} and not as a tradecast server does")
    if answer.status_code >= 400:
        problems = "".join(f"\n  {problem['at']}: {problem['message']}" for problem in told.get("problems", ()))
        raise click.ClickException(f"{told.get('code')}: {told.get('message')}{problems}")
    return told


# -- load


@cli.command(short_help="Connect many clients, and count the events that they get.")
@click.option("--clients", type=int, default=100, show_default=True, help="How many connect.")
@click.option("--connect-rate", type=float, default=200, show_default=True, help="New connections per second.")
@click.option("--duration", type=float, default=10, show_default=True, help="Seconds that events are published.")
@click.option("--rate", type=float, default=10, show_default=True, help="Events published per second.")
@click.option("--symbols", type=int, default=5, show_default=True, help="Symbols that quotes are published for.")
@click.option("--symbols-per-client", type=int, default=1, show_default=True, help="Symbols each client watches.")
@click.option("--reconnect/--no-reconnect", default=False, show_default=True, help="Reconnect as stock clients do.")
@click.option("--url", envvar="TRADECAST_URL", default="http://127.0.0.1:8000", show_default=True, help="The server.")
@click.option("--path", envvar="SOCKET_PATH", default="/socket.io/", show_default=True, help="Path of Socket.IO there.")
@click.option(
    "--publish",
    type=click.Choice(["http", "redis"]),
    default="http",
    show_default=True,
    help="Through the server's /api/emit, or through REDIS_URL.",
)
@click.option("--token", envvar="API_TOKEN", help="Bearer token of /api/emit; not needed with --rate 0.")
@click.option("--allow-remote", is_flag=True, help="Allow a server that is not on this machine.")
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="Sent with each request, as a proxy would (X-Forwarded-Proto: https). Can be given several times.",
)
@click.option("--insecure", is_flag=True, help="Do not check the server's certificate.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@admin_url_option
def load(
    clients: int,
    connect_rate: float,
    duration: float,
    rate: float,
    symbols: int,
    symbols_per_client: int,
    reconnect: bool,
    url: str,
    path: str,
    publish: str,
    token: str | None,
    allow_remote: bool,
    headers: tuple[str, ...],
    insecure: bool,
    as_json: bool,
    admin_url: str,
) -> None:
    """Connect many authenticated WebSocket clients that subscribe, and count and check numbered events.

    Makes a session for each client (as `tradecast session create` does) and ends them afterwards. Exits with 1 if a
    client was refused or an event was lost, came twice, or out of order. Of quotes the newest is enough for a client
    that comes back.
    """
    bearer = _one_of(token)
    through_redis = publish == "redis"
    if through_redis and rate and _settings().redis_url is None:
        raise click.UsageError("--publish redis needs REDIS_URL")
    if not through_redis and rate and bearer is None:
        raise click.UsageError("Set API_TOKEN or give --token: events go through /api/emit (or use --rate 0)")
    names = tuple(f"LOAD{number}" for number in range(symbols))
    options = LoadOptions(
        url=url,
        path=_socket_path(path),
        credentials=[Credential("", "")],
        token=bearer or "",
        clients=clients,
        connect_rate=connect_rate,
        duration=duration,
        rate=rate,
        symbols=names,
        symbols_per_client=symbols_per_client,
        reconnect=Backoff() if reconnect else None,
        allow_remote=allow_remote,
        headers=dict(_header(text) for text in headers),
        verify_tls=not insecure,
    )
    try:
        options.check()
    except OptionsError as error:
        raise click.UsageError(str(error)) from None
    reports: list[LoadReport] = []

    async def work(settings: Settings, sessions: Sessions) -> None:
        run_id = secrets.token_hex(4)
        max_age = min(settings.session_max_age, duration + 3_600)
        _progress(f"making {clients} sessions")
        made = await _in_parallel(
            [
                sessions.create(NewSession(User(f"load-{run_id}-{number}", tier="premium"), max_age))
                for number in range(clients)
            ]
        )
        credentials = [Credential(one["sessionID"], one["userId"]) for one in made]
        try:
            reports.append(
                await run_load(
                    dataclasses.replace(options, credentials=credentials, redis=settings if through_redis else None),
                    _show_progress,
                )
            )
        except LoadError as error:
            raise click.ClickException(str(error)) from None
        finally:
            _progress(f"ending {clients} sessions")
            await _in_parallel([sessions.revoke({"sessionID": one.session_id}) for one in credentials])
            _progress("")

    _with_sessions(work, admin_url)
    (report,) = reports
    click.echo(json.dumps(report.as_dict()) if as_json else report.table())
    if not report.ok:
        sys.exit(1)


def _socket_path(text: str) -> str:
    try:
        return normalize_socket_path(text)
    except ValueError as error:
        raise click.UsageError(f"--path {error}") from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise click.UsageError("--header is written as 'Name: value'")  # not repeated: it may be a token
    return name.strip(), value.strip()


async def _in_parallel(work: Sequence[Coroutine[Any, Any, T]], at_once: int = 20) -> list[T]:
    """The results in order; at most `at_once` are under way at a time."""
    free = asyncio.Semaphore(at_once)

    async def one(coroutine: Coroutine[Any, Any, T]) -> T:
        async with free:
            return await coroutine

    return await asyncio.gather(*(one(coroutine) for coroutine in work))


def _show_progress(progress: Progress) -> None:
    _progress(
        f"{progress.phase}: {progress.seconds:.0f} s, {progress.connected} of {progress.clients} connected, "
        f"{progress.published} published, {progress.deliveries} delivered"
    )


def _progress(text: str) -> None:
    """Show where we are, on one line of a terminal; nothing where standard error is none."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{text}", nl=False, err=True)
