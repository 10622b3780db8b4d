"""`tradecast session`: create, list and revoke."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

import click

from tradecast.cli.sessions import Sessions, admin_url_option, run_with_sessions
from tradecast.config.settings import Settings
from tradecast.sessions.admin import NewSession


@click.group()
def session() -> None:
    """Create, list and revoke sessions.

    They are in MongoDB or Redis, as MONGODB_URI, REDIS_URL and SESSION_STORE say; without these, in the memory of a
    running server, which is asked through its admin port.
    """


@session.command(short_help="Create a session and print it as JSON.")
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
def create(user_id: str, tier: str, admin: bool, name: str, email: str, max_age: float, admin_url: str) -> None:
    """Create a session for USER_ID and print it as JSON, as clients pass it in their handshake."""
    body = {"userId": user_id, "name": name, "email": email, "tier": tier, "isAdmin": admin, "maxAge": max_age}

    async def work(settings: Settings, sessions: Sessions) -> None:
        click.echo(json.dumps(await sessions.create_session(NewSession.parse(body, settings.session_max_age))))

    run_with_sessions(work, admin_url)


@session.command("list")
@click.option("--user", "user_id", help="Only this user's.")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@admin_url_option
def list_(user_id: str | None, as_json: bool, admin_url: str) -> None:
    """List sessions that have not expired. A handle stands for each id, which is secret."""

    async def work(settings: Settings, sessions: Sessions) -> None:
        found = await sessions.list_sessions(user_id)
        if as_json:
            click.echo(json.dumps(found))
            return
        click.echo(f"{'HANDLE':14}{'USER':26}{'TIER':12}{'ADMIN':7}EXPIRES")
        for one in found:
            expires = datetime.fromtimestamp(one["expiresAt"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            admin = "yes" if one["isAdmin"] else "no"
            click.echo(f"{one['handle']:14}{one['userId'][:25]:26}{one['tier']:12}{admin:7}{expires}")

    run_with_sessions(work, admin_url)


@session.command()
@click.option("--handle", help="The session with this handle.")
@click.option("--user", "user_id", help="All sessions of this user.")
@click.option("--stdin", "from_stdin", is_flag=True, help="The session whose id is on standard input.")
@click.option("--all", "everything", is_flag=True, help="All sessions of all users.")
@admin_url_option
def revoke(handle: str | None, user_id: str | None, from_stdin: bool, everything: bool, admin_url: str) -> None:
    """Revoke sessions; their connections are closed within a second.

    This includes sessions that the store has lost: their connections could otherwise stay open for up to 15 minutes.
    With --stdin, the id is not in the shell's history.
    """
    session_id = sys.stdin.readline().strip() if from_stdin else None
    given = (("handle", handle), ("userId", user_id), ("sessionID", session_id), ("all", everything))
    which: dict[str, Any] = {key: value for key, value in given if value}
    if len(which) != 1:
        raise click.UsageError("Give one of --handle, --user, --stdin, --all")

    async def work(settings: Settings, sessions: Sessions) -> None:
        count = await sessions.revoke_sessions(which)
        click.echo(f"revoked: {count}")
        if not count and not everything:
            raise click.ClickException("there is no such session")

    run_with_sessions(work, admin_url)
