"""Observing one fleet, and with which token its servers are asked."""

from __future__ import annotations

import pytest

from kit.kubernetes.fake_api import TOKEN, FakeKubernetes
from kit.kubernetes.rounds import World, asked, conditions, two_pods


async def test_a_token_that_is_refused_is_looked_for_again(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    kubernetes.secrets["tokens"] = {"ADMIN_TOKEN": "of another time"}
    fleet = world.fleet(kubernetes, asked(world))
    assert await fleet.round() == "incomplete"
    assert conditions(kubernetes)["Degraded"] == ("True", "ServersSilent")
    kubernetes.secrets.clear()
    assert await fleet.round() == "ok"


async def test_servers_that_have_not_read_the_new_token_yet_are_asked_with_the_one_of_before(world: World) -> None:
    """A Secret may change at any time; servers read it when they start."""
    kubernetes = FakeKubernetes(two_pods())
    fleet = world.fleet(kubernetes, asked(world))
    assert await fleet.round() == "ok"
    kubernetes.secrets["tokens"] = {"ADMIN_TOKEN": "new"}
    fleet.update({**asked(world), "metadata": {**asked(world)["metadata"], "generation": 2}})  # reads it at once
    for _ in range(3):
        assert await fleet.round() == "ok"
    assert conditions(kubernetes)["AdminTrusted"] == ("False", "TokenBehind")
    assert conditions(kubernetes)["Degraded"] == ("False", "AsExpected")


@pytest.mark.parametrize("token", [f"{TOKEN},old", f"{TOKEN}\n", f" {TOKEN} , old"])
async def test_of_the_tokens_that_servers_take_it_sends_one(world: World, token: str) -> None:
    kubernetes = FakeKubernetes(two_pods())
    kubernetes.secrets["tokens"] = {"ADMIN_TOKEN": token}
    assert await world.fleet(kubernetes, asked(world)).round() == "ok"
