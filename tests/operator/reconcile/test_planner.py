"""Planning a round of one fleet."""

from __future__ import annotations

from kit.kubernetes.fake_api import FakeKubernetes
from kit.kubernetes.rounds import World, asked, two_pods


async def test_while_no_server_answers_the_mode_is_what_it_was(world: World) -> None:
    """Replicas are held by it: two servers in single must not become five because they are silent for a moment."""
    kubernetes = FakeKubernetes(two_pods())
    reference = {"configMapKeyRef": {"name": "fleet-adapter", "key": "mode", "optional": True}}
    env = [{"name": "ADAPTER_MODE", "valueFrom": reference}]
    kubernetes.deployments["servers"]["spec"]["template"] = {"spec": {"containers": [{"env": env}]}}
    body = asked(world, replicas=5, redisAdapter={"apply": "roll", "mode": "auto"})
    body["status"] = {"mode": "single"}
    for pod in kubernetes.pod_list:
        pod["status"]["podIP"] = "127.0.0.99"
    fleet = world.fleet(kubernetes, body)
    for _ in range(3):
        assert await fleet.round() == "incomplete"
        assert (kubernetes.replicas, kubernetes.statuses[-1]["mode"]) == (2, "single")


async def test_more_are_wanted(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    await world.fleet(kubernetes, asked(world, replicas=4)).round()
    assert kubernetes.replicas == 4
    (event,) = kubernetes.events
    assert (event["type"], event["reason"], event["message"]) == ("Normal", "ScaledUp", "2 → 4 replicas: 4 are wanted")
    assert event["involvedObject"]["name"] == "fleet"
