"""Where a client asks, as it is told."""

from __future__ import annotations

import pytest

from tradecast.causes import Code
from tradecast.config.settings import load_settings
from tradecast.redis_client.client import create_redis
from tradecast.redis_client.errors import explain_redis, mark_place

PLANTED = "planted"


@pytest.mark.parametrize(
    ("url", "at", "kind", "tls"),
    [
        ("redis://h", "h:6379", "single", False),
        (f"redis://ann:{PLANTED}@h:7/3", "h:7", "single", False),
        ("rediss://[::1]:7", "[::1]:7", "single", True),
        (f"unix://ann:{PLANTED}@/run/redis.sock", "/run/redis.sock", "single", False),
        (f"redis+cluster://ann:{PLANTED}@a:1,b", "a:1,b:6379", "cluster", False),
        ("rediss+cluster://a:1", "a:1", "cluster", True),
        (f"redis+sentinel://ann:{PLANTED}@a,b:2/0/main", "a:26379,b:2", "sentinel", False),
        ("rediss+sentinel://a:1/0/main", "a:1", "sentinel", True),
    ],
)
async def test_places(url: str, at: str, kind: str, tls: bool) -> None:
    redis = create_redis(load_settings({"REDIS_URL": url}))
    place = redis.place
    assert (place.at, place.kind, place.tls, place.setting) == (at, kind, tls, "REDIS_URL")
    assert place.authenticated == (PLANTED in url)
    assert PLANTED not in repr(place)
    assert explain_redis(TimeoutError(), redis).code == Code.TIMED_OUT
    await redis.aclose()


async def test_the_second_redis_is_named_by_its_own_setting() -> None:
    settings = load_settings({"REDIS_URL": "redis://h", "REDIS_CLUSTER_URL": "redis+cluster://a:1"})
    first, second = create_redis(settings), create_redis(settings, "REDIS_CLUSTER_URL")
    assert second.place.setting == "REDIS_CLUSTER_URL"
    with pytest.raises(TimeoutError) as caught, mark_place(second):
        raise TimeoutError
    assert explain_redis(caught.value, first).place == second.place
    await first.aclose()
    await second.aclose()
