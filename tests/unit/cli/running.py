"""Runs the command line in this process."""

from __future__ import annotations

from click.testing import CliRunner, Result

from tradecast.cli import cli


def run(*arguments: str, stdin: str | None = None, **environ: str) -> Result:
    result = CliRunner().invoke(cli, arguments, input=stdin, env=dict(environ), prog_name="tradecast")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result
