"""`tradecast check` against real things that work, and that do not."""

from __future__ import annotations

import pytest

from integration.check.checking import check, errors, named
from kit.servers.redis_cluster import RedisCluster
from kit.servers.redis_server import RedisServer


@pytest.mark.redis
async def test_redis_that_works(redis_server: RedisServer) -> None:
    report = await check(REDIS_URL=redis_server.url)
    assert errors(report) == []
    assert named(report, "REDIS_URL permissions").state == "ok"
    assert named(report, "REDIS_URL sessions").state == "warning"  # there are none yet
    assert report.plan["events"] == f"through Redis at 127.0.0.1:{redis_server.port} (REDIS_URL)"
    assert await redis_server.ask("DBSIZE") == 0  # nothing is left there


@pytest.mark.redis
async def test_a_cluster_that_works(redis_cluster: RedisCluster) -> None:
    report = await check(REDIS_URL=redis_cluster.url)
    assert errors(report) == []
    assert report.plan["mode"] == "sharded"
