"""`tradecast demo` and `tradecast feed`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click

from tradecast.cli.serve import initialized_server, open_ports
from tradecast.cli.startup import VERSION, configure_process, read_settings, run_command
from tradecast.config.settings import Settings, SettingsError
from tradecast.demo.prices import PricesUnavailable
from tradecast.lifecycle.ports import find_reachable, join_address


@click.command(short_help="Run a server with the demo: its page, users and prices.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; * for all.")
@click.option("--port", type=int, help="Public port. [default: PORT, else 8000]")
@click.option("--admin-port", type=int, help="Admin port. [default: ADMIN_PORT, else 9100]")
@click.option("--day-seconds", type=float, help="Seconds per trading day. [default: DEMO_DAY_SECONDS, else 20]")
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
    settings = read_settings({"log_format": "console", "log_level": "warning"}, **given)
    configure_process(settings)
    run_command(_serve_demo(settings, feed=feed))


async def _serve_demo(settings: Settings, *, feed: bool) -> None:
    async with initialized_server(settings) as server, contextlib.AsyncExitStack() as stack:
        with _show_demo_errors():
            from tradecast.demo.app import run_demo

            await stack.enter_async_context(run_demo(server, feed=feed))
        process = await open_ports(server)
        scheme = "https" if settings.ssl_certfile else "http"
        address = join_address(find_reachable(settings.host), process.ports["public"])
        click.echo(f"tradecast demo: {scheme}://{address}/   (Ctrl-C stops it)")
        await process.run_until_signal()


@click.command(short_help="Replay the demo's prices for all servers on one Redis.")
def feed() -> None:
    """Replay the demo's prices for all servers on one Redis (`tradecast demo --no-feed`).

    Several feeds can run: one publishes, and another takes over if it stops. Health and metrics are on ADMIN_PORT.
    """
    settings = read_settings()
    configure_process(settings)
    run_command(_run_feed(settings))


async def _run_feed(settings: Settings) -> None:
    with _show_demo_errors():
        from tradecast.demo.feed_process import FeedProcess

        process = FeedProcess(settings, VERSION)
    await process.run()


@contextlib.contextmanager
def _show_demo_errors() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        needed = "the demo needs its extra: pip install '.[demo]' in tradecast's folder"
        raise click.ClickException(f"{needed} ({error.name})") from None
    except SettingsError:
        raise
    except (PricesUnavailable, ValueError) as error:
        raise click.ClickException(str(error)) from None
