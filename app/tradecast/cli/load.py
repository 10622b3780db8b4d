"""`tradecast load`."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import secrets
import sys
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from tradecast.cli.sessions import Sessions, admin_url_option, run_with_sessions
from tradecast.cli.startup import first_token, read_settings
from tradecast.config.settings import Settings
from tradecast.config.socket_path import normalize_socket_path
from tradecast.load.backoff import Backoff
from tradecast.load.client import Credential
from tradecast.load.options import LoadOptions, OptionsError
from tradecast.load.progress import Progress
from tradecast.load.report import LoadReport
from tradecast.load.run import LoadError, run_load
from tradecast.sessions.admin import NewSession
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.models import User

T = TypeVar("T")
# Seconds that the sessions outlast the publishing.
SPARE_SECONDS = 3_600
# Seconds of --wait at most, between two tries of it, and for one.
MAX_WAIT = 3_600
TRY_EVERY = 0.25
TRY_WITHIN = 3.0


@click.command(short_help="Connect many clients, and check the events that they receive.")
@click.option("--clients", type=int, default=100, show_default=True, help="How many clients connect.")
@click.option("--connect-rate", type=float, default=200, show_default=True, help="New connections per second.")
@click.option("--duration", type=float, default=10, show_default=True, help="Seconds for which events are published.")
@click.option("--rate", type=float, default=10, show_default=True, help="Events published per second.")
@click.option("--symbols", type=int, default=5, show_default=True, help="Symbols that quotes are published for.")
@click.option("--symbols-per-client", type=int, default=1, show_default=True, help="Symbols each client watches.")
@click.option(
    "--reconnect/--no-reconnect", default=False, show_default=True, help="Reconnect as standard Socket.IO clients do."
)
@click.option("--url", envvar="TRADECAST_URL", default="http://127.0.0.1:8000", show_default=True, help="The server.")
@click.option("--path", envvar="SOCKET_PATH", default="/socket.io/", show_default=True, help="Path of Socket.IO there.")
@click.option(
    "--publish",
    type=click.Choice(["http", "redis"]),
    default="http",
    show_default=True,
    help="Publish through the server's /api/emit, or through REDIS_URL.",
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
@click.option("--insecure", is_flag=True, help="Do not verify the server's certificate.")
@click.option(
    "--wait",
    type=click.FloatRange(0, MAX_WAIT),
    default=0,
    metavar="SECONDS",
    help="Wait so long for the session store and the server to answer: a new pod's network may not be ready yet.",
)
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
    wait: float,
    as_json: bool,
    admin_url: str,
) -> None:
    """Connect many authenticated WebSocket clients that subscribe; publish numbered events, count and check them.

    Creates a session for each client (as `tradecast session create` does) and revokes it afterwards. Exits with 1 if a
    client was refused, or an event was lost, duplicated or out of order. A client that reconnects needs only the newest
    of the quotes that it missed.
    """
    bearer = first_token(token)
    through_redis = publish == "redis"
    if through_redis and rate and read_settings().redis_url is None:
        raise click.UsageError("--publish redis needs REDIS_URL")
    if not through_redis and rate and bearer is None:
        raise click.UsageError("Set API_TOKEN or give --token: events go through /api/emit (or use --rate 0)")
    options = LoadOptions(
        url=url,
        path=_parse_path(path),
        credentials=[Credential("", "")],
        token=bearer or "",
        clients=clients,
        connect_rate=connect_rate,
        duration=duration,
        rate=rate,
        symbols=tuple(f"LOAD{number}" for number in range(symbols)),
        symbols_per_client=symbols_per_client,
        reconnect=Backoff() if reconnect else None,
        allow_remote=allow_remote,
        headers=dict(_parse_header(text) for text in headers),
        verify_tls=not insecure,
    )
    try:
        options.check()
    except OptionsError as error:
        raise click.UsageError("\n".join(f"{_flag_of(name)}: {text}" for name, text in error.problems)) from None
    reports: list[LoadReport] = []

    async def work(settings: Settings, sessions: Sessions) -> None:
        max_age = min(settings.session_max_age, duration + SPARE_SECONDS)
        ends = time.monotonic() + wait
        _show_progress(f"creating {clients} sessions")
        credentials = await _create_first(sessions, max_age, ends)
        credentials += await _create_sessions(sessions, clients - 1, max_age)
        chosen = dataclasses.replace(options, credentials=credentials, redis=settings if through_redis else None)
        try:
            await _wait_for_server(options, ends)
            reports.append(await run_load(chosen, _ProgressLine()))
        except LoadError as error:
            raise click.ClickException(str(error)) from None
        finally:
            _show_progress(f"revoking {clients} sessions")
            await _gather_results([sessions.revoke_sessions({"sessionID": one.session_id}) for one in credentials])
            _show_progress("")

    run_with_sessions(work, admin_url)
    (report,) = reports
    click.echo(json.dumps(report.as_dict()) if as_json else report.table())
    if not report.ok:
        sys.exit(1)


def _parse_path(text: str) -> str:
    try:
        return normalize_socket_path(text)
    except ValueError as error:
        raise click.UsageError(f"--path {error}") from None


def _parse_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise click.UsageError("--header is written as 'Name: value'")  # not repeated: it may be a token
    return name.strip(), value.strip()


def _flag_of(option: str) -> str:
    return "--header" if option == "headers" else f"--{option.replace('_', '-')}"


async def _create_first(sessions: Sessions, max_age: float, ends: float) -> list[Credential]:
    """One session; until `ends` (`time.monotonic()`), a store or server that does not answer is asked again."""
    while True:
        try:
            return await _create_sessions(sessions, 1, max_age)
        except (StoreUnavailable, click.ClickException):
            if time.monotonic() >= ends:
                raise
        await asyncio.sleep(TRY_EVERY)


async def _wait_for_server(options: LoadOptions, ends: float) -> None:
    """Return when the server's port takes connections, or at `ends`: what is wrong then is counted by the run."""
    url = urlsplit(options.url)
    port = url.port or (443 if url.scheme in ("https", "wss") else 80)
    while time.monotonic() < ends:
        with contextlib.suppress(OSError):  # and TimeoutError, which is one
            async with asyncio.timeout(TRY_WITHIN):
                _, writer = await asyncio.open_connection(url.hostname, port)
            writer.close()
            return
        await asyncio.sleep(TRY_EVERY)


async def _create_sessions(sessions: Sessions, count: int, max_age: float) -> list[Credential]:
    run_id = secrets.token_hex(4)
    made = await _gather_results(
        [
            sessions.create_session(NewSession(User(f"load-{run_id}-{number}", tier="premium"), max_age))
            for number in range(count)
        ]
    )
    return [Credential(one["sessionID"], one["userId"]) for one in made]


async def _gather_results(work: Sequence[Coroutine[Any, Any, T]], at_once: int = 20) -> list[T]:
    """The results in order; at most `at_once` are under way at a time."""
    free = asyncio.Semaphore(at_once)

    async def one(coroutine: Coroutine[Any, Any, T]) -> T:
        async with free:
            return await coroutine

    return await asyncio.gather(*(one(coroutine) for coroutine in work))


class _ProgressLine:
    """Shows the progress of a run."""

    def on_progress(self, progress: Progress) -> None:
        _show_progress(
            f"{progress.phase}: {progress.seconds:.0f} s, {progress.connected} of {progress.clients} connected, "
            f"{progress.published} published, {progress.deliveries} delivered"
        )


def _show_progress(text: str) -> None:
    """Show progress on one line of a terminal; nothing where standard error is no terminal."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{text}", nl=False, err=True)
