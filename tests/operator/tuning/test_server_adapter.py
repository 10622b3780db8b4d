"""What a server reports of its adapter."""

from __future__ import annotations

from typing import Any

import pytest

from kit.kubernetes.socket_fleets import pod
from tradecast.config.settings import Settings
from tradecast.runtime_config.overrides import extract_runtime_settings
from tradecast_operator.model.observation import Stats
from tradecast_operator.tuning.server_adapter import ServerAdapter, read_adapter

DEFAULTS: dict[str, float] = extract_runtime_settings(Settings(redis_url="redis://x")).model_dump()


def said(**changes: Any) -> dict[str, Any]:
    return {
        "mode": "pubsub",
        "inForce": DEFAULTS,
        "source": {name: "file" if name == "publish_batch" else "settings" for name in DEFAULTS},
        "revision": "abc",
        "seen": "abc",
        "error": None,
        "traffic": {"publishedPerSecond": 1.5, "waiting": 2, "channels": 3, "awaySeconds": 0.0},
        **changes,
    }


def reported(adapter: Any) -> ServerAdapter | None:
    return read_adapter(pod("a", stats=Stats(1, adapter=adapter)))


def test_what_a_server_says_is_understood() -> None:
    found = reported(said())
    assert found is not None
    assert (found.mode, found.publish_rate, found.queued, found.channels, found.error) == ("pubsub", 1.5, 2, 3, "")
    assert found.settings == DEFAULTS
    assert found.defaults.keys() == DEFAULTS.keys() - {"publish_batch"}


def test_a_server_reports_which_modes_it_can_be_in_and_whether_the_other_redis_is_there() -> None:
    other = {"mode": "sharded", "up": True, "waiting": 0, "published": {"ok": 9, "failed": 2, "uncertain": 1}}
    found = reported(said(modes=["single", "pubsub", "sharded"], other=other))
    assert found is not None
    assert (found.modes, found.other_redis_up, found.other_redis_failed) == (("single", "pubsub", "sharded"), True, 3)
    for without in (None, {"mode": "sharded", "up": None}):
        found = reported(said(other=without))
        assert found is not None
        assert found.other_redis_up is None


def test_a_server_of_an_earlier_version_publishes_to_one_and_does_not_tell_its_modes() -> None:
    older = {name: value for name, value in DEFAULTS.items() if name != "publish_both"}
    found = reported(said(inForce=older, source=dict.fromkeys(older, "settings")))
    assert found is not None
    assert (found.settings["publish_both"], found.defaults["publish_both"], found.modes) == (0, 0, ())


@pytest.mark.parametrize(
    "adapter",
    [None, {}, "?", {"mode": "pubsub"}, said(mode="other"), said(traffic={}), said(inForce={}), said(source=None),
     said(inForce={**DEFAULTS, "publish_batch": float("nan")})],
)  # fmt: skip
def test_what_is_not_understood_is_as_if_it_said_nothing(adapter: Any) -> None:
    assert reported(adapter) is None
