"""The command `tradecast`, with all of its subcommands."""

from __future__ import annotations

import click

from tradecast.cli.check import check
from tradecast.cli.demo import demo, feed
from tradecast.cli.emit import emit
from tradecast.cli.load import load
from tradecast.cli.purge import purge
from tradecast.cli.serve import serve
from tradecast.cli.session import session
from tradecast.cli.startup import VERSION


def main() -> None:
    """The console script."""
    cli(prog_name="tradecast")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION)
def cli() -> None:
    """Push portfolio, trade, quote, notification and market events to traders over Socket.IO.

    Settings come from the environment; docs/settings.md lists them.
    """


for command in (serve, check, demo, feed, emit, session, purge, load):
    cli.add_command(command)
