"""The scripts and commands of both modes."""

from __future__ import annotations

import pytest

from tradecast.delivery.redis.command_sets import PUBSUB, SHARDED


@pytest.mark.parametrize("name", ["publish", "tick", "send"])
def test_the_scripts_differ_in_how_they_publish_only(name: str) -> None:
    one, sharded = getattr(PUBSUB, name), getattr(SHARDED, name)
    assert "'SPUBLISH'" not in one.source
    assert "'PUBLISH'" not in sharded.source
    assert sharded.source.replace("'SPUBLISH'", "'PUBLISH'") == one.source
    assert sharded.digest != one.digest


def test_channels_of_a_cluster_are_where_their_slot_is() -> None:
    assert (PUBSUB.subscription.subscribe, SHARDED.subscription.subscribe) == ("SUBSCRIBE", "SSUBSCRIBE")
    assert (PUBSUB.names_all_keys, SHARDED.names_all_keys) == (False, True)
