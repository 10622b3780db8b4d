"""All looks of `tradecast check`, side by side, each within a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from tradecast.check.looks import Look, Report
from tradecast.check.machine import look_at_files, look_at_ports
from tradecast.check.mongodb import look_at_mongodb
from tradecast.check.redis import look_at_redis
from tradecast.config.misspelt import find_misspelt
from tradecast.config.settings import SETTINGS, Settings, UrlName
from tradecast.lifecycle.ports import join_address
from tradecast.redis_client.client import create_redis

# Seconds that all looks at one thing may take, and after which it is shown that one is under way.
DEADLINE: Final = 20.0
SHOWN_AFTER: Final = 2.0


async def run_check(
    settings: Settings, environ: Mapping[str, str], on_slow: Callable[[str], None] = lambda what: None
) -> Report:
    """Look at everything that a server with these settings would need.

    Args:
        settings: Those of the server.
        environ: Where they come from.
        on_slow: Told what is being looked at when that takes more than two seconds.

    Raises:
        SettingsError: A URL makes no sense, which only the drivers can tell.
    """
    work: list[tuple[str, Awaitable[list[Look]]]] = []
    if settings.redis_url is not None:
        work.append(("REDIS_URL", look_at_redis(settings, "REDIS_URL")))
    if settings.redis_cluster_url is not None:
        work.append(("REDIS_CLUSTER_URL", look_at_redis(settings, "REDIS_CLUSTER_URL")))
    if settings.mongodb_uri is not None:
        work.append(("MONGODB_URI", look_at_mongodb(settings)))
    work.append(("the ports", look_at_ports(settings)))
    found = await asyncio.gather(*(_bound(what, looking, on_slow) for what, looking in work))
    looks = [*_look_at_settings(settings, environ), *(one for some in found for one in some), *look_at_files(settings)]
    return Report(looks, describe_plan(settings))


async def _bound(what: str, looking: Awaitable[list[Look]], on_slow: Callable[[str], None]) -> list[Look]:
    task = asyncio.ensure_future(looking)
    try:
        done, _ = await asyncio.wait([task], timeout=SHOWN_AFTER)
        if not done:
            on_slow(what)
        async with asyncio.timeout(DEADLINE - SHOWN_AFTER):
            return await task
    except TimeoutError:
        says = f"the looks at it were not done within {DEADLINE:.0f} s"
        return [Look(what, "error", says, "See whether it is overloaded, and run the check again", "timed_out")]
    finally:
        task.cancel()


def _look_at_settings(settings: Settings, environ: Mapping[str, str]) -> list[Look]:
    looks = [Look("settings", "ok", "they make sense")]
    for suspect in find_misspelt(environ, SETTINGS):
        meant = f"Is it {suspect.meant}?" if suspect.meant else "docs/settings.md lists all that there are"
        looks.append(Look(suspect.name, "warning", "there is no such setting: it is ignored", meant))
    if settings.redis_url is None:
        says = "there is no REDIS_URL: this server is alone, and reaches its own clients only"
        looks.append(Look("mode", "warning", says, "Set REDIS_URL for more than one server"))
    if settings.store_name == "memory":
        says = "there is neither MONGODB_URI nor REDIS_URL: sessions are in memory, and end with the server"
        looks.append(Look("sessions", "warning", says, "Name the store that the application logs its users in to"))
    return looks


def describe_plan(settings: Settings) -> dict[str, str]:
    """What would run, in words."""
    scheme = "https" if settings.ssl_certfile else "http"
    plan = {
        "mode": settings.mode,
        "events": "within this server" if settings.mode == "single" else _at(settings, settings.adapter_url),
        "sessions": {"memory": "in memory", "redis": "in Redis", "mongodb": "in MongoDB"}[settings.store_name],
        "transports": ", ".join(settings.offered_transports),
        "public port": f"{scheme}://{join_address(settings.host, settings.port or 'any')}{settings.socket_path}",
        "admin port": f"http://{join_address(settings.admin_host, settings.admin_port or 'any')}/",
    }
    if settings.forwards:
        plan["internal port"] = f"http://{join_address(settings.internal_host, settings.internal_port or 'any')}/"
    return plan | {
        "connections": f"at most {settings.max_connections}",
        "recovery": f"within {settings.recovery_window:g} s" if settings.recovery else "off",
    }


def _at(settings: Settings, url: UrlName) -> str:
    return f"through Redis at {create_redis(settings, url).place.at} ({url})"
