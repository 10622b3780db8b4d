"""`tradecast check`."""

from __future__ import annotations

import json
import os
import sys

import click

from tradecast.check.run import run_check
from tradecast.cli.startup import configure_command, exit_invalid, run_unguarded
from tradecast.config.settings import SettingsError, load_settings


@click.command(short_help="Check settings, Redis, MongoDB and ports, and report what is wrong.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def check(as_json: bool) -> None:
    """Check everything that a server with these settings needs, without running one.

    Reads the settings, connects to Redis and MongoDB, and checks permissions, certificates, memory policy, cluster
    mode, ports and limits. Exits with 1 if something would not work, with 2 if the settings are invalid.
    """
    configure_command()
    try:
        settings = load_settings(os.environ)
        report = run_unguarded(run_check(settings, os.environ, _SlowChecks()))
    except SettingsError as error:
        if not as_json:
            exit_invalid(error)
        click.echo(json.dumps({"ok": False, "settings": str(error).splitlines()}))
        sys.exit(2)
    click.echo(json.dumps(report.as_dict()) if as_json else report.text())
    if not report.ok:
        sys.exit(1)


class _SlowChecks:
    """Shows checks that take long on standard error."""

    def check_is_slow(self, what: str) -> None:
        click.echo(f"checking {what} …", err=True)
