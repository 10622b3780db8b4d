"""All checks of `tradecast check`, side by side, each with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Final, Protocol

from tradecast.check.machine import check_files, check_ports
from tradecast.check.mongodb import check_mongodb
from tradecast.check.redis import check_redis_server
from tradecast.check.report import Finding, Report
from tradecast.config.misspelt import find_misspelt
from tradecast.config.settings import SETTINGS, Settings, UrlName
from tradecast.lifecycle.ports import join_address
from tradecast.redis_client.client import create_redis

# Seconds that all checks of one thing may take, and after which a slow one is reported.
DEADLINE: Final = 20.0
SHOWN_AFTER: Final = 2.0


class CheckObserver(Protocol):
    """Whoever waits for the checks."""

    def check_is_slow(self, what: str) -> None:
        """A check takes more than `SHOWN_AFTER` seconds."""
        ...


async def run_check(settings: Settings, environ: Mapping[str, str], observer: CheckObserver) -> Report:
    """Check everything that a server with these settings would need.

    Args:
        settings: Those of the server.
        environ: Where they come from.
        observer: Receives checks that take more than two seconds.

    Raises:
        SettingsError: A URL is invalid, which only the drivers find out.
    """
    work: list[tuple[str, Awaitable[list[Finding]]]] = []
    if settings.redis_url is not None:
        work.append(("REDIS_URL", check_redis_server(settings, "REDIS_URL")))
    if settings.redis_cluster_url is not None:
        work.append(("REDIS_CLUSTER_URL", check_redis_server(settings, "REDIS_CLUSTER_URL")))
    if settings.mongodb_uri is not None:
        work.append(("MONGODB_URI", check_mongodb(settings)))
    work.append(("the ports", check_ports(settings)))
    found = await asyncio.gather(*(_limit_time(what, checking, observer) for what, checking in work))
    findings = [*_check_settings(settings, environ), *(one for some in found for one in some), *check_files(settings)]
    return Report(findings, describe_plan(settings))


async def _limit_time(what: str, checking: Awaitable[list[Finding]], observer: CheckObserver) -> list[Finding]:
    task = asyncio.ensure_future(checking)
    try:
        done, _ = await asyncio.wait([task], timeout=SHOWN_AFTER)
        if not done:
            observer.check_is_slow(what)
        async with asyncio.timeout(DEADLINE - SHOWN_AFTER):
            return await task
    except TimeoutError:
        message = f"the checks were not done within {DEADLINE:.0f} s"
        return [
            Finding(
                what, "error", message, "Check whether it is overloaded, and run `tradecast check` again", "timed_out"
            )
        ]
    finally:
        task.cancel()


def _check_settings(settings: Settings, environ: Mapping[str, str]) -> list[Finding]:
    findings = [Finding("settings", "ok", "valid")]
    for suspect in find_misspelt(environ, SETTINGS):
        meant = f"Is it {suspect.meant}?" if suspect.meant else "docs/settings.md lists all of them"
        findings.append(Finding(suspect.name, "warning", "there is no such setting: it is ignored", meant))
    if settings.redis_url is None:
        message = "there is no REDIS_URL: this server reaches its own clients only"
        findings.append(Finding("mode", "warning", message, "Set REDIS_URL for more than one server"))
    if settings.store_name == "memory":
        message = "there is neither MONGODB_URI nor REDIS_URL: sessions are in memory, and end with the server"
        findings.append(
            Finding("sessions", "warning", message, "Set the one in which the application keeps its sessions")
        )
    return findings


def describe_plan(settings: Settings) -> dict[str, str]:
    """What would run, in words."""
    scheme = "https" if settings.ssl_certfile else "http"
    plan = {
        "mode": settings.mode,
        "events": "within this server" if settings.mode == "single" else _name_place(settings, settings.adapter_url),
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


def _name_place(settings: Settings, url: UrlName) -> str:
    return f"through Redis at {create_redis(settings, url).place.at} ({url})"
