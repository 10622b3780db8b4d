"""Carrying out a round of one fleet."""

from __future__ import annotations

from typing import Any

import pytest

from kit.kubernetes.fake_api import FakeKubernetes, pod_body
from kit.kubernetes.rounds import World, asked, conditions, two_pods
from tradecast_operator.kube.lease import NotHeld
from tradecast_operator.model.resource import PAUSED


@pytest.mark.parametrize("how", ["paused", "dry run"])
async def test_nothing_is_done_where_that_is_wanted(world: World, how: str) -> None:
    kubernetes = FakeKubernetes(two_pods())
    body = asked(world, replicas=5, dryRun=how == "dry run")
    if how == "paused":
        body["metadata"]["annotations"] = {PAUSED: "true"}
    await world.fleet(kubernetes, body).round()
    assert kubernetes.replicas == 2
    assert [event["message"][:8] for event in kubernetes.events] == ([] if how == "paused" else ["dry run:"])
    assert conditions(kubernetes)["Progressing"] == (("False", "Paused") if how == "paused" else ("True", "ScalingUp"))


async def test_an_operator_that_loses_the_lease_in_a_round_acts_no_more(world: World) -> None:
    """The mark is set while it has the Lease; the server, which asks nobody, is not told after that."""
    kubernetes = FakeKubernetes([*two_pods(), pod_body("c", "127.0.0.13")], replicas=3)
    mark = kubernetes.mark_pod

    async def last(*arguments: Any, **options: Any) -> None:
        await mark(*arguments, **options)
        world.lease.grant(held=False)

    kubernetes.mark_pod = last  # type: ignore[method-assign]
    fleet = world.fleet(kubernetes, asked(world, replicas=1))
    with pytest.raises(NotHeld):
        await fleet.round()
    drained = [pod for pod in kubernetes.pod_list if pod["metadata"]["annotations"]]
    assert len(drained) == 1
    assert kubernetes.statuses == []
