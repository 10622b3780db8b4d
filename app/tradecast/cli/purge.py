"""`tradecast purge`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click
from redis.exceptions import RedisError

from tradecast.cli.startup import configure_command, describe_cause, read_settings, run_command
from tradecast.delivery.redis.retained.purge import Purged, purge_rooms
from tradecast.events import rooms
from tradecast.redis_client.client import create_redis
from tradecast.redis_client.peer import explain_once
from tradecast.user_id import RULE, read_user_id

if TYPE_CHECKING:
    from tradecast.config.settings import Settings, UrlName


@click.command(short_help="Remove what Redis has of a user's events.")
@click.option("--user", "user_id", required=True, help="The user whose events are removed.")
@click.option("--dry-run", is_flag=True, help="Only print what there is.")
def purge(user_id: str, dry_run: bool) -> None:
    """Remove what Redis has of a user's events: what stays for later subscribers, and the history.

    These are portfolio updates, trades, closed positions and notifications. A client of the user that is away at that
    moment starts a new session, and gets none of them. Sessions, limits and what is published afterwards are not
    touched: end the user's sessions first (tradecast session revoke).

    Where servers are of two modes, both modes' Redis are purged.
    """
    settings = read_settings()
    configure_command()
    user = read_user_id(user_id)
    if user is None:
        raise click.BadParameter(RULE, param_hint="--user")
    if settings.mode == "single":
        raise click.ClickException(
            "without Redis, events are in the memory of the server: they go when it is restarted"
        )
    run_command(_purge_keys(settings, user, dry_run=dry_run))


async def _purge_keys(settings: Settings, user: str, *, dry_run: bool) -> None:
    total = 0
    modes = [settings.mode] if settings.other_mode is None else [settings.mode, settings.other_mode]
    for mode in modes:
        found = await _purge_mode(settings, settings.url_of(mode), user, dry_run=dry_run)
        for room, purged in found.items():
            topic = room.partition(":")[0]
            click.echo(
                f"{mode}: {topic}: {purged.counted} durable and {purged.latest} latest-wins events in the history, "
                f"{purged.retained} retained values"
            )
            total += purged.total
    click.echo(f"{'found' if dry_run else 'removed'}: {total}")


async def _purge_mode(settings: Settings, name: UrlName, user: str, *, dry_run: bool) -> Mapping[str, Purged]:
    redis = create_redis(settings, name)
    of_user = [rooms.portfolio(user), rooms.trades(user), rooms.user(user)]
    try:
        return await purge_rooms(redis, of_user, dry_run=dry_run)
    except (RedisError, OSError) as error:
        cause = await explain_once(error, redis.place)
        silence = "Redis did not answer in time: " if cause.is_silence else ""
        raise click.ClickException(f"not all is removed: {silence}{describe_cause(cause)}") from None
    finally:
        await redis.aclose()
