"""`run_check` on settings, and what it found."""

from __future__ import annotations

import asyncio

from tradecast.check.report import Finding, Report
from tradecast.check.run import run_check
from tradecast.config.settings import load_settings

ANY_PORT = {"PORT": "0", "ADMIN_PORT": "0", "INTERNAL_PORT": "0"}


class SlowChecks:
    """Nobody waits."""

    def check_is_slow(self, what: str) -> None: ...


async def check(**environ: str) -> Report:
    async with asyncio.timeout(60):
        return await run_check(load_settings({**ANY_PORT, **environ}), environ, SlowChecks())


def errors(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.state == "error"]


def named(report: Report, name: str) -> Finding:
    (found,) = [finding for finding in report.findings if finding.name == name]
    return found
