from __future__ import annotations

from typing import Any

import pytest

from kit.kubernetes.fake_api import REPLICA_SET, FakeKubernetes, pod_body
from tradecast_operator.kube.observe import DRAIN_SINCE, FIRST, choose_pods, observe_fleet
from tradecast_operator.kube.owners import split_pods
from tradecast_operator.kube.pods.reduced import DELETION_COST, reduce_pod
from tradecast_operator.model.observation import Hold, Observation, Pacing, Stats
from tradecast_operator.model.rollout_record import HOLD, format_hold

NOW = 1_767_262_000.0


def seen(*pods: dict[str, object], stats: dict[str, Stats] | None = None, **deployment: object) -> Observation:
    body = FakeKubernetes(pods).deployments["servers"]
    body["status"].update(deployment)
    return observe_fleet(body, pods, stats or {}, NOW)


def test_a_ready_pod_with_its_connections() -> None:
    found = seen(pod_body("a"), stats={"uid-a": Stats(12)})
    (pod,) = found.pods
    assert (pod.name, pod.uid, pod.ready, pod.connections, pod.revision) == ("a", "uid-a", True, 12, "abc")
    assert pod.ready_since == 1_767_261_600
    assert (found.replicas, found.version, found.rolling, found.total) == (2, "7", False, 12)


def test_a_pod_that_does_not_answer_makes_it_incomplete() -> None:
    assert not seen(pod_body("a"), pod_body("b"), stats={"uid-a": Stats(1)}).complete


def test_a_pod_whose_container_has_not_run_has_no_connections() -> None:
    waiting = pod_body("a", ready=False)
    waiting["status"]["containerStatuses"] = [{"state": {"waiting": {"reason": "ContainerCreating"}}}]
    found = seen(waiting)
    assert (found.complete, found.total, found.pods[0].ready) == (True, 0, False)


def test_a_pod_that_ends_counts_but_takes_nobody() -> None:
    found = seen(pod_body("a", deletionTimestamp="2026-01-01T10:00:00Z"), stats={"uid-a": Stats(5)})
    (pod,) = found.pods
    assert (pod.terminating, pod.ready, found.total) == (True, False, 5)


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_has_ended_is_none(phase: str) -> None:
    over = pod_body("a")
    over["status"]["phase"] = phase
    assert seen(over).pods == []


def test_marks() -> None:
    marked = pod_body("a", annotations={DRAIN_SINCE: "1767261000", DELETION_COST: FIRST})
    (pod,) = seen(marked).pods
    assert (pod.drain_since, pod.goes_first) == (1_767_261_000, True)
    (pod,) = seen(pod_body("a", annotations={DRAIN_SINCE: "soon", DELETION_COST: "5"})).pods
    assert (pod.drain_since, pod.goes_first) == (None, False)


def test_a_rollout_is_seen_by_two_templates_or_by_a_deployment_that_is_behind() -> None:
    other = pod_body("b", labels={"app.kubernetes.io/name": "tradecast", "pod-template-hash": "def"})
    assert seen(pod_body("a"), other).rolling
    assert seen(pod_body("a"), observedGeneration=0).behind
    assert seen(pod_body("a"), pod_body("b"), updatedReplicas=1).rolling
    old = pod_body("b", labels={"pod-template-hash": "old"}, deletionTimestamp="2026-01-01T10:00:00Z")
    assert not seen(pod_body("a"), old, replicas=1, updatedReplicas=1).rolling


def test_what_a_rollout_of_another_mode_needs_to_know_of_the_deployment() -> None:
    body = FakeKubernetes([pod_body("a")]).deployments["servers"]
    assert (observe_fleet(body, [], {}, NOW).mode_mark, observe_fleet(body, [], {}, NOW).mode_from) == ("", frozenset())
    reference = {"configMapKeyRef": {"name": "mine", "key": "mode", "optional": True}}
    other = {"configMapKeyRef": {"name": "other", "key": "mode"}}
    env = [{"name": "A", "value": "1"}, {"name": "ADAPTER_MODE", "valueFrom": reference}]
    body["spec"]["template"] = {
        "metadata": {"annotations": {"tradecast.dev/adapter-mode": "sharded.2"}},
        "spec": {"containers": [{"env": env}, {"env": [{"name": "B", "valueFrom": other}]}, {}]},
    }
    found = observe_fleet(body, [], {}, NOW)
    assert (found.mode_mark, found.mode_from) == ("sharded.2", frozenset({"mine"}))


def test_a_rollout_is_stuck_when_the_controller_has_said_so_of_the_present_template() -> None:
    stuck = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    assert seen(pod_body("a"), conditions=stuck).stuck
    assert not seen(pod_body("a"), conditions=stuck, observedGeneration=0).stuck
    assert not seen(pod_body("a"), conditions=[{"type": "Progressing", "reason": "NewReplicaSetAvailable"}]).stuck


def test_of_two_entries_for_the_mode_the_last_holds() -> None:
    told = {
        "name": "ADAPTER_MODE",
        "valueFrom": {"configMapKeyRef": {"name": "fleet-adapter", "key": "mode", "optional": True}},
    }
    own = {"name": "ADAPTER_MODE", "value": "pubsub"}
    for env, expected in (([own, told], {"fleet-adapter"}), ([told, own], set())):
        body = FakeKubernetes().deployments["servers"]
        body["spec"]["template"] = {"spec": {"containers": [{"env": env}, {}]}}
        assert observe_fleet(body, [], {}, NOW).mode_from == expected


def waiting(name: str, reason: str, **status: Any) -> dict[str, Any]:
    pod = pod_body(name, ready=False)
    pod["status"]["containerStatuses"] = [{"ready": False, "state": {"waiting": {"reason": reason}}, **status}]
    return pod


def crashing(name: str, restarts: int, *, ready: bool = False) -> dict[str, Any]:
    pod = pod_body(name, ready=ready)
    pod["status"]["containerStatuses"] = [{"ready": ready, "state": {"running": {}}, "restartCount": restarts}]
    return pod


def blocked(name: str, reason: str) -> dict[str, Any]:
    pod = waiting(name, "PodInitializing")
    pod["status"]["initContainerStatuses"] = [{"ready": False, "state": {"waiting": {"reason": reason}}}]
    return pod


@pytest.mark.parametrize(
    ("pod", "trouble"),
    [
        (pod_body("a"), ""),
        (waiting("a", "ContainerCreating"), ""),
        (waiting("a", "ErrImagePull"), ""),  # once may be chance; ImagePullBackOff follows
        (waiting("a", "ImagePullBackOff"), "ImagePullBackOff"),
        (waiting("a", "CrashLoopBackOff"), "CrashLoopBackOff"),
        (waiting("a", "CreateContainerConfigError"), "CreateContainerConfigError"),
        (blocked("a", "CrashLoopBackOff"), "CrashLoopBackOff"),
        (crashing("a", 1), ""),
        (crashing("a", 2), "CrashLoopBackOff"),
        (crashing("a", 40, ready=True), ""),  # months ago, perhaps
    ],
)
def test_why_a_pod_does_not_run(pod: dict[str, Any], trouble: str) -> None:
    for form in (pod, reduce_pod(pod)):
        assert seen(form).pods[0].trouble == trouble


def test_since_when_a_pod_is_not_ready() -> None:
    assert seen(pod_body("a", ready=False)).pods[0].unready_since == 1_767_261_600
    assert seen(pod_body("a")).pods[0].unready_since is None
    homeless = pod_body("a", ready=False)
    homeless["status"]["conditions"].append({"type": "PodScheduled", "status": "False"})
    assert seen(homeless).pods[0].unready_since is None, "it waits for a node"
    assert seen(reduce_pod(homeless)).pods[0].unready_since is None
    new = pod_body("a")
    del new["status"]["conditions"]
    assert seen(new).pods[0].unready_since == 1_767_258_000, "since it was created"


@pytest.mark.parametrize(
    ("changed", "was"), [("2026-01-01T10:00:05Z", False), ("2026-01-01T10:00:06Z", True), (None, False)]
)
def test_whether_a_pod_was_ready_before(changed: str | None, was: bool) -> None:
    pod = pod_body("a", ready=False)
    pod["status"]["conditions"][0]["lastTransitionTime"] = changed
    pod["status"]["containerStatuses"] = [{"ready": False, "state": {"running": {"startedAt": "2026-01-01T10:00:00Z"}}}]
    for form in (pod, reduce_pod(pod)):
        assert seen(form).pods[0].was_ready is was
    assert not seen(pod_body("b", ready=False)).pods[0].was_ready, "since when it runs is not known"


def test_when_a_pod_is_killed() -> None:
    """The deletionTimestamp includes the grace period (ObjectMeta in Kubernetes' API reference)."""
    (pod,) = seen(pod_body("a", deletionTimestamp="2026-01-01T10:00:30Z", deletionGracePeriodSeconds=30)).pods
    assert (pod.killed_at, pod.grace) == (1_767_261_630, 30)
    (pod,) = seen(pod_body("a")).pods
    assert (pod.killed_at, pod.grace, pod.trouble) == (None, 0, "")


def test_what_paces_a_rollout() -> None:
    body = FakeKubernetes([pod_body("a")]).deployments["servers"]
    assert observe_fleet(body, [pod_body("a")], {}, NOW).pacing == Pacing(60, 600)
    hold = Hold("abc", "it fails", 700, 30)
    body["metadata"]["annotations"] = {HOLD: format_hold(hold), "meta.helm.sh/release-name": "prod"}
    body["spec"] |= {"minReadySeconds": None, "progressDeadlineSeconds": None}
    found = observe_fleet(body, [pod_body("a")], {}, NOW)
    assert found.pacing == Pacing(0, None, hold, "prod")
    assert (found.revision, found.held, found.stuck) == ("abc", hold, True), "a rollout that is held does not go on"
    other = observe_fleet(body, [pod_body("a")], {}, NOW, "def")
    assert (other.revision, other.held, other.stuck) == ("def", None, False)
    assert observe_fleet(body, [], {}, NOW).revision == ""


def test_a_pod_with_the_labels_and_no_owner_is_no_second_revision() -> None:
    """Somebody's pod for debugging, say: it would keep the fleet from shrinking for ever."""
    mine, debug = pod_body("a"), pod_body("debug", ownerReferences=[])
    del debug["metadata"]["labels"]["pod-template-hash"]
    ours, others = split_pods([mine, debug], {REPLICA_SET})
    assert [one["metadata"]["name"] for one in others] == ["debug"]
    found = seen(*ours)
    assert (found.rolling, found.revision) == (False, "abc")


def test_of_many_dead_servers_some_are_asked_in_each_round_and_each_in_its_turn() -> None:
    """As in a zone that has failed: each takes a request's whole time."""
    dead = [pod_body(f"dead-{number}", "10.0.0.1", ready=False) for number in range(60)]
    alive = [pod_body("ready", "10.0.0.2"), pod_body("new", "10.0.0.3", ready=False)]
    silent = {pod["metadata"]["uid"]: 0.0 for pod in dead} | {"uid-ready": 0.0}
    asked: set[str] = set()
    for number in range(3):
        chosen = {pod["metadata"]["name"] for pod in choose_pods([*dead, *alive], silent)}
        assert {"ready", "new"} <= chosen
        assert len(chosen) == 2 + 25
        silent |= {f"uid-{name}": number + 1.0 for name in chosen if name.startswith("dead")}
        asked |= chosen
    assert len(asked) == 62


@pytest.mark.parametrize("count", [0, 25])
def test_of_a_few_dead_servers_all_are_asked(count: int) -> None:
    dead = [pod_body(f"dead-{number}", "10.0.0.1", ready=False) for number in range(count)]
    assert choose_pods(dead, {pod["metadata"]["uid"]: 0.0 for pod in dead}) == dead
