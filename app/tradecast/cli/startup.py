"""What every command needs before its work: settings, logging, an event loop, and one way to report what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import click

from tradecast.bootstrap.environment import warn_of_misspelt
from tradecast.causes import Cause
from tradecast.config.settings import Settings, SettingsError, load_settings
from tradecast.lifecycle.ports import PortInUse
from tradecast.observability.logs import configure_logging
from tradecast.observability.sentry import configure_sentry

T = TypeVar("T")
VERSION = importlib.metadata.version("tradecast")


def read_settings(defaults: dict[str, str] | None = None, **overrides: Any) -> Settings:
    """The settings of this process; invalid ones end it with exit code 2.

    Args:
        defaults: Settings by their Python name, where the environment has none.
        overrides: Settings by their Python name; they win over the environment.
    """
    environ = {**{name.upper(): value for name, value in (defaults or {}).items()}, **os.environ}
    try:
        return load_settings(environ, **overrides)
    except SettingsError as error:
        exit_invalid(error)


def exit_invalid(error: SettingsError) -> NoReturn:
    """Show every invalid setting, and exit with code 2."""
    lines = "\n".join(f"  {line}" for line in str(error).splitlines())
    click.echo(f"Invalid settings:\n{lines}", err=True)
    sys.exit(2)


def configure_process(settings: Settings) -> None:
    """Set up logging and Sentry for a process that serves, and warn of misspelt settings."""
    configure_logging(settings.log_level, settings.log_format)
    warn_of_misspelt(os.environ)
    if settings.sentry_dsn is not None:
        try:
            configure_sentry(settings.sentry_dsn.get_secret_value(), settings.sentry_environment, VERSION)
        except RuntimeError as error:
            raise click.ClickException(str(error)) from None


def configure_command() -> None:
    """Set up logging for a command that runs once: errors only, for people."""
    configure_logging("error", "console")


def run_command(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; what people can put right is shown without a traceback."""
    try:
        return run_unguarded(work)
    except PortInUse as error:
        raise click.ClickException(str(error)) from None
    except SettingsError as error:  # found by the drivers only
        exit_invalid(error)


def run_unguarded(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, on uvloop where it is installed."""
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(work)


def first_token(tokens: str | None) -> str | None:
    """The first of the tokens in API_TOKEN, any of which a server accepts; None: there is none."""
    words = [word.strip() for word in (tokens or "").split(",") if word.strip()]
    return words[0] if words else None


def describe_cause(cause: Cause) -> str:
    """What is wrong, and below it what to do."""
    return f"{cause.sentence}\n  {cause.remedy}"
