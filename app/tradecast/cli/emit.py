"""`tradecast emit`."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from tradecast.cli.server_client import ServerClient
from tradecast.cli.startup import configure_command, describe_cause, first_token, read_settings, run_command
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain
from tradecast.delivery.event_kinds import NAMES
from tradecast.events.emit_requests import PAYLOADS, InvalidEvents, parse_events
from tradecast.events.symbols import Symbols
from tradecast.packets import exact
from tradecast.publishing.publisher import Publisher
from tradecast.redis_client.peer import explain_once

DEFAULT_URL = "http://127.0.0.1:8000"
# Behind \b, with which click leaves the lines as they are.
EPILOG = "\n".join(
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


@click.command(epilog=EPILOG, short_help="Emit one event to its users, or to all.")
@click.argument("event", type=click.Choice(list(PAYLOADS)), metavar="EVENT")
@click.argument("payload")
@click.option("--user", "user_id", help="User to emit to (all events but watchlist:quote and market:status).")
@click.option("--symbol", help="Symbol of the quote.")
@click.option(
    "--kind",
    type=click.Choice(list(NAMES)),
    help="Every one counts, or only the newest is kept, or none. [default: as declared of the event]",
)
@click.option(
    "--url",
    envvar="TRADECAST_URL",
    help="The server. [default: none with REDIS_URL (unless ADAPTER_MODE is single), else http://127.0.0.1:8000]",
)
@click.option("--token", envvar="API_TOKEN", help="Bearer token of /api/emit.")
def emit(
    event: str,
    payload: str,
    user_id: str | None,
    symbol: str | None,
    kind: str | None,
    url: str | None,
    token: str | None,
) -> None:
    """Emit one event: PAYLOAD is JSON, or - to read it from standard input.

    With REDIS_URL, and unless --url names a server, the event goes through Redis to the clients of every server; this
    needs neither a server nor a token. Otherwise it goes through a server's /api/emit.
    """
    text = sys.stdin.read() if payload == "-" else payload
    field = PAYLOADS[event]
    try:
        content = exact.to_plain(exact.load_exact(text), (field,))
    except exact.NotExact as error:
        raise click.BadParameter(str(error), param_hint="PAYLOAD") from None
    except ValueError as error:
        raise click.BadParameter(f"is not JSON: {error}", param_hint="PAYLOAD") from None
    body: dict[str, Any] = {"event": event, field: content}
    if event == "watchlist:quote":
        body["symbol"] = _require_option(symbol, "--symbol")
    elif event != "market:status":
        body["userId"] = _require_option(user_id, "--user")
    if kind is not None:
        body["kind"] = kind
    if url is None and _publishes_through_redis():
        configure_command()
        run_command(_publish_events(body))
        click.echo("accepted: 1")
        return
    bearer = first_token(token)
    if bearer is None:
        raise click.UsageError("Set API_TOKEN or give --token: /api/emit needs the server's bearer token")
    click.echo(f"accepted: {run_command(_post_events(url or DEFAULT_URL, bearer, body))}")


def _require_option(value: str | None, option: str) -> str:
    if not value:
        raise click.UsageError(f"{option} is needed for this event")
    return value


def _publishes_through_redis() -> bool:
    return bool(os.environ.get("REDIS_URL")) and os.environ.get("ADAPTER_MODE", "").strip().lower() != "single"


async def _post_events(url: str, token: str, body: dict[str, Any]) -> int:
    async with ServerClient(url, token, "--url") as server:
        return await server.emit(body)


async def _publish_events(body: dict[str, Any]) -> None:
    settings = read_settings()
    try:
        events = parse_events(body, Symbols(settings.symbol_pattern))
    except InvalidEvents as invalid:
        raise click.ClickException("; ".join(f"{one['at']}: {one['message']}" for one in invalid.problems)) from None
    try:
        async with Publisher(settings) as publisher:
            for event in events:
                await event.emit(publisher)
    except AdapterUnavailable as error:
        cause = await explain_once(error, publisher.place)
        outcome = "the event may or may not have been sent" if isinstance(error, PublishUncertain) else "not sent"
        silence = "Redis did not answer in time: " if cause.is_silence else ""
        raise click.ClickException(f"{outcome}: {silence}{describe_cause(cause)}") from None
