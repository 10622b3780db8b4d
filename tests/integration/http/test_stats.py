"""What `/admin/stats` shows."""

from __future__ import annotations

import httpx

from kit.servers.in_process import RunningServer


async def test_stats_tell_how_the_server_runs(server: RunningServer, http: httpx.AsyncClient) -> None:
    stats = (await http.get(f"{server.admin_url}/admin/stats")).json()
    assert stats["server"] == {
        "mode": "single",
        "sessionStore": "memory",
        "transports": ["websocket", "polling"],
        "draining": False,
        "limiterFallback": False,
    }
