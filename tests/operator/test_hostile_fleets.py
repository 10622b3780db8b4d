"""SocketFleets and Secrets that say what they like: told in that fleet's conditions, and sent to nobody."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import kopf
import pytest

from kit.kubernetes.fake_api import NAMESPACE, FakeKubernetes, fleet_body, owned_by, pod_body
from kit.kubernetes.hostile_pods import HostilePods, answering, hostile_pods, told
from kit.waiting import eventually
from tradecast_operator.kube.client import Missing, Object, _make_path
from tradecast_operator.main import check_liveness
from tradecast_operator.reconcile.controller import FleetController

LARGE = 2**63 - 1
age_of: Any = check_liveness  # without all that kopf passes
UNAUTHORIZED = answering("", 'WWW-Authenticate: Bearer realm="tradecast"\r\n', "401 Unauthorized")


@pytest.fixture
async def pods() -> AsyncIterator[HostilePods]:
    async with hostile_pods() as pods:
        yield pods


@contextlib.asynccontextmanager
async def looked_after(
    kubernetes: FakeKubernetes, body: Object, *, strict: bool = False
) -> AsyncIterator[FleetController]:
    fleets = FleetController(kubernetes, every=0.02, strict=strict)
    fleets.update(body)
    try:
        yield fleets
    finally:
        await fleets.close()


def asked(pods: HostilePods, **changes: Any) -> Object:
    body = fleet_body(admin={"port": pods.port, "tokenSecret": {"name": "tokens"}}, redisAdapter={"mode": "single"})
    for path, value in changes.items():
        *parts, last = path.split("__")
        where = body["spec"]
        for part in parts:
            where = where.setdefault(part, {})
        where[last] = value
    return body


async def after_rounds(fleets: FleetController, count: int = 3) -> dict[str, float]:
    """How they went."""

    def results() -> dict[str, float]:
        read = fleets.metrics.registry.get_sample_value
        labels = {"namespace": NAMESPACE, "fleet": "fleet"}
        name = "tradecast_operator_rounds_total"
        return {one: read(name, {**labels, "result": one}) or 0 for one in ("ok", "incomplete", "error", "paused")}

    await eventually(lambda: sum(results().values()) >= count, 30)
    return results()


def condition(kubernetes: FakeKubernetes, kind: str) -> tuple[str, str, str]:
    found = next(one for one in kubernetes.statuses[-1]["conditions"] if one["type"] == kind)
    return found["status"], found["reason"], found["message"]


FITS: list[dict[str, Any]] = [
    {"replicas": 10_000, "maxReplicas": 10_000},
    {"minReplicas": 10_000, "maxReplicas": 10_000},
    {"connectionsPerReplica": LARGE},
    {"drain__connectionsPerSecond": LARGE, "drain__timeoutSeconds": LARGE},
    {"drain__connectionsPerSecond": 1e300, "drain__timeoutSeconds": 1e300},
    {"rebalance__minPods": LARGE, "rebalance__minPodAgeSeconds": LARGE},
    {"rebalance__connectionsPerSecond": LARGE, "rebalance__acceptPerSecond": 10**300},
    {"rebalance__quietPercent": 0, "rebalance__observations": 1, "rebalance__quietSeconds": 1},
    {"metric__holdSeconds": 0, "metric__staleSeconds": 1},
    {"admin__port": 65_535},
    {"redisAdapter__configMap": ""},
    {"redisAdapter__redisSecret": {"name": "redis", "key": "x" * 253}},
    {"replicas": 1, "drain__connectionsPerSecond": LARGE, "drain__timeoutSeconds": 1},
]
UNFIT: list[dict[str, Any]] = [
    {"replicas": float("inf")},
    {"replicas": float("nan")},
    {"replicas": "2"},
    {"replicas": None},
    {"replicas": True},
    {"drain": []},
    {"drain": None},
    {"drain__timeoutSeconds": -1},
    {"rebalance__enabled": "no"},
    {"metric__holdSeconds": float("nan")},
    {"redisAdapter__mode": ["single"]},
    {"redisAdapter__apply": {}},
    {"redisAdapter__pinned": {"publish_batch": float("nan")}},
    {"redisAdapter__pinned": {"publish_batch": 10**400}},
    {"redisAdapter__redisSecret": {"name": ["x"]}},
    {"admin": []},
    {"admin__port": "9100"},
    {"admin__port": 10**400},
    {"admin__tokenSecret": ["tokens"]},
    {"admin__tokenSecret": {"key": "ADMIN_TOKEN"}},
    {"admin__tokenSecret": {"name": {}}},
    {"deployment": ""},
    {"deployment": "../../other/deployments/x"},
    {"deployment": "a/../b"},
    {"deployment": "x" * 5_000},
    {"deployment": ["x"]},
    {"admin__tokenSecret": {"name": "../configmaps/x"}},
    {"admin__tokenSecret": {"name": "../../other/secrets/tokens"}},
    {"admin__tokenSecret": {"name": "x?watch=true"}},
    {"admin__tokenSecret": {"name": "x%2F..%2Fy"}},
    {"admin__tokenSecret": {"name": "Großes"}},
    {"admin__tokenSecret": {"name": "a\n"}},
    {"admin__tokenSecret": {"name": "x" * 300}},
]


class Named(FakeKubernetes):
    """Looks at names as the client of the real one does."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.asked_for: list[str] = []

    async def deployment(self, namespace: str, name: str) -> Object:
        self._path("deployments", name)
        return await super().deployment(namespace, name)

    async def secret(self, namespace: str, name: str) -> Object:
        self._path("secrets", name)
        return await super().secret(namespace, name)

    def _path(self, plural: str, name: str) -> None:
        self.asked_for.append(_make_path(plural, name))


@pytest.mark.parametrize("changes", FITS, ids=str)
async def test_what_the_crd_lets_pass_ends_no_round(pods: HostilePods, changes: dict[str, Any]) -> None:
    addresses = [pods.add(answering(told())) for _ in range(2)]
    kubernetes = Named([pod_body(name, address) for name, address in zip("ab", addresses, strict=True)])
    async with looked_after(kubernetes, asked(pods, **changes)) as fleets:
        results = await after_rounds(fleets)
        assert results["error"] == 0
        json.dumps([kubernetes.statuses, kubernetes.events], allow_nan=False)
        if "admin__port" not in changes:
            assert fleets.connections(NAMESPACE, "fleet") == 14


@pytest.mark.parametrize("changes", UNFIT, ids=lambda one: str(one)[:60])
async def test_what_is_invalid_is_a_condition_of_that_fleet(pods: HostilePods, changes: dict[str, Any]) -> None:
    """A CRD of another version, or none that the API server enforces, may let it pass."""
    kubernetes = Named([pod_body("a", pods.add(answering(told())))])
    async with looked_after(kubernetes, asked(pods, **changes)) as fleets:
        results = await after_rounds(fleets)
        assert results["ok"] == results["incomplete"] == 0
        status, reason, message = condition(kubernetes, "Degraded")
        assert (status, reason) == ("True", "SpecInvalid")
        assert len(message) < 300
        assert next(iter(changes)).rpartition("__")[2] in message or "is not a valid name" in message
        assert condition(kubernetes, "Available")[:2] == ("Unknown", "SpecInvalid")
        assert not any(".." in path or "?" in path or "%" in path for path in kubernetes.asked_for)
        # Nothing that a restart could mend.
        fleets._fleets[NAMESPACE, "fleet"][0].last_round = 0
        await after_rounds(fleets, 6)
        assert age_of(memo=kopf.Memo(controller=fleets)) < 60


TOKENS: dict[str, str | bytes] = {
    "no UTF-8": b"\xff\xfe\x00token",
    "empty": "",
    "blanks": " \n\t ",
    "commas": ",,,",
    "huge": "x" * 900_000,
    "long": "x" * 5_000,
    "line breaks": "one\r\nX-Injected: two",
    "a header": "one\nAuthorization: Bearer x",
    "zero": "one\x00two",
}


@pytest.mark.parametrize("how", TOKENS)
async def test_a_secret_that_cannot_be_a_token_is_reported_and_not_sent(pods: HostilePods, how: str) -> None:
    address = pods.add(UNAUTHORIZED)
    kubernetes = FakeKubernetes([pod_body("a", address)])
    kubernetes.secrets["tokens"] = {"ADMIN_TOKEN": TOKENS[how]}
    async with looked_after(kubernetes, asked(pods)) as fleets:
        results = await after_rounds(fleets)
        assert (results["ok"], results["error"]) == (0, 0)
    status, reason, message = condition(kubernetes, "AdminTrusted")
    assert (status, reason) == ("False", "SecretUnusable")
    assert "tokens" in message
    assert not any(word in message for word in ("one", "two", "xxx"))
    assert pods.heads[address]
    assert not any("authorization" in head.lower() for head in pods.heads[address])


async def test_another_key_of_a_secret_is_not_sent(pods: HostilePods) -> None:
    address = pods.add(UNAUTHORIZED)
    kubernetes = FakeKubernetes([pod_body("a", address)])
    kubernetes.secrets["tokens"] = {"password": "not-for-you"}
    body = asked(pods, admin__tokenSecret={"name": "tokens", "key": "password"})
    async with looked_after(kubernetes, body) as fleets:
        await after_rounds(fleets)
    assert condition(kubernetes, "AdminTrusted")[:2] == ("False", "TokenKeyRefused")
    assert pods.heads[address]
    assert not any("authorization" in head.lower() for head in pods.heads[address])


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("labels", [{}, {"tradecast.dev/admin-token": "false"}, {"tradecast.dev/redis-url": "true"}])
async def test_a_secret_without_the_label_is_warned_of_now_and_refused_next(
    pods: HostilePods, labels: dict[str, str], strict: bool
) -> None:
    address = pods.add(UNAUTHORIZED)
    kubernetes = FakeKubernetes([pod_body("a", address)])
    kubernetes.secret_labels = labels
    async with looked_after(kubernetes, asked(pods), strict=strict) as fleets:
        await after_rounds(fleets)
    assert condition(kubernetes, "AdminTrusted")[:2] == ("False", "SecretNotLabelled")
    sent = any("authorization" in head.lower() for head in pods.heads[address])
    assert sent is not strict
    warned = [one for one in kubernetes.events if one["reason"] == "SecretNotLabelled"]
    assert [one["type"] for one in warned] == ["Warning"]
    assert "tradecast.dev/admin-token=true" in warned[0]["message"]


async def test_a_secret_that_is_not_named_any_more_is_not_sent_any_more(pods: HostilePods) -> None:
    address = pods.add(UNAUTHORIZED)
    kubernetes = FakeKubernetes([pod_body("a", address)])
    async with looked_after(kubernetes, asked(pods)) as fleets:
        await after_rounds(fleets)
        assert any("authorization" in head.lower() for head in pods.heads[address])
        again = asked(pods)
        del again["spec"]["admin"]["tokenSecret"]
        again["metadata"]["generation"] = 2
        fleets.update(again)
        await eventually(lambda: condition(kubernetes, "AdminTrusted")[:2] == ("Unknown", "NoToken"))
        pods.heads[address].clear()
        await eventually(lambda: len(pods.heads[address]) > 2)
        assert not any("authorization" in head.lower() for head in pods.heads[address])


@pytest.mark.parametrize(
    "owners",
    [
        [],
        [owned_by("ReplicaSet", "another")],
        [{**owned_by("ReplicaSet", "replica-set-uid"), "controller": False}],
        [owned_by("Deployment", "deployment-uid")],
        [{**owned_by("ReplicaSet", "replica-set-uid"), "apiVersion": "example.org/v1"}],
        [owned_by("ReplicaSet", "of-another-deployment")],
    ],
    ids=["nobody's", "an unknown one's", "not controlled", "owned at once", "another kind", "another Deployment's"],
)
async def test_a_pod_that_only_wears_the_labels_is_not_asked_counted_or_drained(
    pods: HostilePods, owners: list[Object]
) -> None:
    ours, stranger = pods.add(answering(told())), pods.add(answering(told(websocket={"totalConnections": 0})))
    kubernetes = FakeKubernetes([pod_body("a", ours), pod_body("z", stranger, ownerReferences=owners)], replicas=2)
    kubernetes.sets.append(
        {"metadata": {"uid": "of-another-deployment", "ownerReferences": [owned_by("Deployment", "another")]}}
    )
    async with looked_after(kubernetes, asked(pods, replicas=1)) as fleets:
        await after_rounds(fleets)
        assert fleets.connections(NAMESPACE, "fleet") == 7
    assert pods.heads[stranger] == []
    assert kubernetes.statuses[-1]["readyReplicas"] == 1
    assert kubernetes.pod("z")["metadata"]["annotations"] == {}
    status, reason, message = condition(kubernetes, "AdminTrusted")
    assert (status, reason) == ("False", "ForeignPods")
    assert message.endswith(": z")


async def test_replicasets_are_asked_for_when_there_is_a_new_one_only(pods: HostilePods) -> None:
    kubernetes = FakeKubernetes([pod_body("a", pods.add(answering(told())))])
    async with looked_after(kubernetes, asked(pods)) as fleets:
        await after_rounds(fleets, 5)
        assert kubernetes.sets_listed == 1
        kubernetes.sets.append(
            {"metadata": {"uid": "new", "ownerReferences": [owned_by("Deployment", "deployment-uid")]}}
        )
        new = pod_body("b", pods.add(answering(told())), ownerReferences=[owned_by("ReplicaSet", "new")])
        kubernetes.pod_list.append(new)
        await eventually(lambda: fleets.connections(NAMESPACE, "fleet") == 14)
        assert kubernetes.sets_listed == 2
        assert condition(kubernetes, "AdminTrusted")[0] == "True"
        # A Deployment that was deleted and made again owns none of the old ones.
        kubernetes.deployments["servers"]["metadata"]["uid"] = "again"
        await eventually(lambda: condition(kubernetes, "AdminTrusted")[1] == "ForeignPods")


async def test_marks_that_are_no_numbers_end_no_round(pods: HostilePods) -> None:
    marks = ("nan", "inf", "1e999", "-1e999", "soon", "", "0x1")
    kubernetes = FakeKubernetes(
        [
            pod_body(str(number), pods.add(answering(told())), annotations={"tradecast.dev/drain-since": mark})
            for number, mark in enumerate(marks)
        ],
        replicas=len(marks),
    )
    async with looked_after(kubernetes, asked(pods, replicas=1)) as fleets:
        assert (await after_rounds(fleets, 5))["error"] == 0


@pytest.mark.parametrize(
    "state",
    [
        *("[" * 100_000, '{"figures":' * 50_000, "NaN", "null", '{"changed": 1e999}'),
        json.dumps(
            {
                "figures": {"publish_batch": 1e400}, "before": {}, "changed": float("inf"), "trying": True,
                "held_until": float("nan"), "why": "x", "base": {}, "waiting": float("inf"), "away": 0,
            }
        ),
    ],
    ids=lambda one: one[:20],
)  # fmt: skip
async def test_a_config_map_that_says_what_it_likes_ends_no_round(pods: HostilePods, state: str) -> None:
    kubernetes = FakeKubernetes([pod_body("a", pods.add(answering(told())))])
    kubernetes.config_maps["fleet-adapter"] = {
        "metadata": {
            "name": "fleet-adapter",
            "labels": {"app.kubernetes.io/managed-by": "tradecast-operator"},
            "annotations": {"tradecast.dev/adapter-state": state},
            "resourceVersion": "0",
        },
        "data": {},
    }
    body = asked(pods, redisAdapter={"mode": "auto", "apply": "roll"})
    async with looked_after(kubernetes, body) as fleets:
        assert (await after_rounds(fleets))["error"] == 0


async def test_who_cannot_write_a_condition_continues(pods: HostilePods) -> None:
    """A task that ended would leave the fleet to nobody."""
    kubernetes = FakeKubernetes([pod_body("a", pods.add(answering(told())))])
    write, failed = kubernetes.set_status, []

    async def fails(*arguments: Any) -> None:
        failed.append(1)
        raise RuntimeError("too large")

    kubernetes.set_status = fails  # type: ignore[method-assign,assignment]
    async with looked_after(kubernetes, asked(pods)) as fleets:
        await eventually(lambda: len(failed) > 3)
        kubernetes.set_status = write  # type: ignore[method-assign]
        await eventually(lambda: kubernetes.statuses)
        with pytest.raises(Missing):
            await kubernetes.deployment(NAMESPACE, "another")
        assert (await after_rounds(fleets))["ok"] >= 1


@pytest.mark.parametrize("spec", [None, [], {}, "x"])
async def test_one_without_a_spec_stops_none_of_its_namespace(pods: HostilePods, spec: Any) -> None:
    kubernetes = FakeKubernetes([pod_body("a", pods.add(answering(told())))])
    async with looked_after(kubernetes, asked(pods)) as fleets:
        odd = asked(pods)
        odd["metadata"] |= {"name": "odd", "uid": "odd"}
        odd["spec"] = spec
        fleets.update(odd)
        read = fleets.metrics.registry.get_sample_value
        labels = {"namespace": NAMESPACE, "fleet": "odd", "result": "error"}
        await eventually(lambda: (read("tradecast_operator_rounds_total", labels) or 0) > 2)
        before = sum((await after_rounds(fleets)).values())
        assert (await after_rounds(fleets, int(before) + 3))["error"] == 0
        fleets.remove(NAMESPACE, "odd")
