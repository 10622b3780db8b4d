"""One fleet's pods answer what they like: that is told of this fleet, and no other one waits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from typing import Any

import kopf
import pytest

from kit.kubernetes.fake_api import NAMESPACE, FakeKubernetes, fleet_body, pod_body
from kit.kubernetes.hostile_pods import ANSWERS, HostilePods, answering, hostile_pods, say_nothing, told, values
from kit.waiting import eventually
from tradecast_operator.clients import server_admin as servers_module
from tradecast_operator.kube.client import Object
from tradecast_operator.main import check_liveness
from tradecast_operator.planning.autoscaler_metric import Unknown
from tradecast_operator.reconcile.controller import FleetController

age_of: Any = check_liveness  # without all that kopf passes
WELL = answering(told())
# What a server may say and is not wrong: other fields, more digits.
ODD = {
    "a field more": told(more={"x": [1, 2]}),
    "no adapter": told(adapter=None),
    "an adapter of a later version": told(adapter={"mode": "elsewhere"}),
    "a version before that tells no rate": {
        "websocket": {"totalConnections": 7},
        "drain": {"active": False, "remaining": 0, "shedding": False},
    },
}


TENANTS = ("x", "y", "z")


class TwoTenants(FakeKubernetes):
    """A namespace in which each Deployment has the pods whose names begin with its own."""

    def __init__(self, pods: Sequence[Object]) -> None:
        super().__init__(pods)
        one = self.deployments["servers"]
        self.deployments = {name: json.loads(json.dumps(one)) for name in ("good", "bad", *TENANTS)}
        for name, deployment in self.deployments.items():
            deployment["spec"]["selector"] = {"matchLabels": {"of": name}}


def pod_of(deployment: str, name: str, address: str) -> Object:
    return pod_body(f"{deployment}-{name}", address, labels={"of": deployment, "pod-template-hash": "abc"})


def fleet_of(deployment: str, port: int, namespace: str = NAMESPACE) -> Object:
    body = fleet_body(
        deployment=deployment,
        replicas=2,
        admin={"port": port},
        redisAdapter={"mode": "single"},
        metric={"holdSeconds": 0},
    )
    body["metadata"] |= {"name": deployment, "namespace": namespace, "uid": f"uid-{deployment}"}
    return body


@pytest.fixture
async def pods() -> AsyncIterator[HostilePods]:
    async with hostile_pods() as pods:
        yield pods


@contextlib.asynccontextmanager
async def looked_after(kubernetes: FakeKubernetes, *bodies: Object) -> AsyncIterator[FleetController]:
    fleets = FleetController(kubernetes, every=0.05)
    for body in bodies:
        fleets.update(body)
    try:
        yield fleets
    finally:
        await fleets.close()


def rounds(fleets: FleetController, name: str, *results: str, namespace: str = NAMESPACE) -> float:
    labels = {"namespace": namespace, "fleet": name}
    read = fleets.metrics.registry.get_sample_value
    return sum(read("tradecast_operator_rounds_total", {**labels, "result": one}) or 0 for one in results)


async def settles(fleets: FleetController, name: str, *results: str) -> None:
    before = rounds(fleets, name, *results)
    await eventually(lambda: rounds(fleets, name, *results) > before + 2, 60)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline that a test can wait for, where there is one."""
    if hasattr(servers_module, "LONGEST"):
        monkeypatch.setattr(servers_module, "LONGEST", 1.0)


@pytest.mark.parametrize("how", ANSWERS)
async def test_a_pod_that_answers_so_is_silent_and_its_fleet_alone_reports_it(
    pods: HostilePods, how: str, hasty: None
) -> None:
    bad, good = pods.add(ANSWERS[how]), pods.add(WELL)
    kubernetes = FakeKubernetes([pod_body("a", bad), pod_body("b", good)])
    body = fleet_of("servers", pods.port)
    async with looked_after(kubernetes, body) as fleets:
        tracemalloc.start()
        try:
            async with asyncio.timeout(30):
                await eventually(lambda: rounds(fleets, "servers", "incomplete") >= 2, 30)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert rounds(fleets, "servers", "error") == 0
        assert peak < 40_000_000

        def is_reported() -> bool:
            """Of a machine that was held up for a round's deadline, the next round tells the truth again."""
            degraded = next(one for one in kubernetes.statuses[-1]["conditions"] if one["type"] == "Degraded")
            assert (degraded["status"], degraded["reason"]) == ("True", "ServersSilent")
            return bool(degraded["message"].endswith(": a"))

        await eventually(is_reported)
        with pytest.raises(Unknown):
            fleets.connections(NAMESPACE, "servers")


@pytest.mark.parametrize(("where", "text"), list(values()), ids=[where for where, _ in values()])
async def test_a_wrong_value_ends_no_round(pods: HostilePods, where: str, text: str) -> None:
    kubernetes = FakeKubernetes([pod_body("a", pods.add(answering(text))), pod_body("b", pods.add(WELL))])
    body = fleet_of("servers", pods.port)
    body["spec"]["redisAdapter"] = {"mode": "auto", "apply": "roll"}
    async with looked_after(kubernetes, body) as fleets:
        await eventually(lambda: rounds(fleets, "servers", "ok", "incomplete", "error") >= 3, 30)
        assert rounds(fleets, "servers", "error") == 0
        json.dumps(kubernetes.statuses, allow_nan=False)
        assert kubernetes.statuses[-1]["connections"] in (7, 14)
        assert kubernetes.statuses[-1]["mode"] in ("", "single")
        if not where.startswith("adapter"):
            assert rounds(fleets, "servers", "ok") == 0


@pytest.mark.parametrize("how", ODD)
async def test_what_another_version_says_is_understood(pods: HostilePods, how: str) -> None:
    kubernetes = FakeKubernetes([pod_body("a", pods.add(answering(ODD[how]))), pod_body("b", pods.add(WELL))])
    async with looked_after(kubernetes, fleet_of("servers", pods.port)) as fleets:
        await eventually(lambda: rounds(fleets, "servers", "ok") >= 2, 30)
        assert fleets.connections(NAMESPACE, "servers") == 14


async def test_pods_that_hang_keep_no_other_namespace_waiting(
    pods: HostilePods, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several namespaces, and more pods in each than requests are made at a time."""
    monkeypatch.setattr(servers_module, "LONGEST", 3_600.0)  # they hang for as long as the test takes
    many = [pod_of(one, str(number), pods.add(say_nothing)) for one in TENANTS for number in range(60)]
    kubernetes = TwoTenants([*many, pod_of("good", "a", pods.add(WELL))])
    tenants = [fleet_of(one, pods.port, namespace=one) for one in TENANTS]
    async with looked_after(kubernetes, *tenants) as fleets:
        waiting = [pod["status"]["podIP"] for pod in many]
        await eventually(lambda: sum(bool(pods.heads[one]) for one in waiting) >= 100, 30)
        fleets.update(fleet_of("good", pods.port))
        await eventually(lambda: rounds(fleets, "good", "ok") >= 3, 30)
        assert fleets.connections(NAMESPACE, "good") == 7


async def test_a_fleet_whose_rounds_all_fail_does_not_have_the_operator_restarted(pods: HostilePods) -> None:
    """Whatever makes them fail. Nothing at all must move for that."""
    kubernetes = TwoTenants([pod_of("good", "a", pods.add(WELL))])
    read = kubernetes.deployment

    async def fails(namespace: str, name: str) -> Object:
        if name == "bad":
            raise RuntimeError("nobody has thought of this")
        return await read(namespace, name)

    kubernetes.deployment = fails  # type: ignore[method-assign]
    async with looked_after(kubernetes, fleet_of("bad", pods.port), fleet_of("good", pods.port)) as fleets:
        memo = kopf.Memo(controller=fleets)
        fleets._fleets[NAMESPACE, "bad"][0].last_round = 0
        await settles(fleets, "good", "ok")
        await settles(fleets, "bad", "error")
        assert age_of(memo=memo) < 60
        for fleet, task in fleets._fleets.values():
            task.cancel()
            fleet.last_round = 0
        with pytest.raises(kopf.PermanentError, match="no good round"):
            age_of(memo=memo)


async def test_what_pods_set_as_cookies_is_not_kept(pods: HostilePods) -> None:
    cookies = "".join(f"Set-Cookie: name-{number}=value\r\n" for number in range(100))
    kubernetes = FakeKubernetes([pod_body("a", pods.add(answering(told(), cookies))), pod_body("b", pods.add(WELL))])
    async with looked_after(kubernetes, fleet_of("servers", pods.port)) as fleets:
        await eventually(lambda: rounds(fleets, "servers", "ok") >= 2, 30)
    assert not any("cookie:" in head.lower() for heads in pods.heads.values() for head in heads)


async def test_no_proxy_of_the_environment_gets_the_requests(
    pods: HostilePods, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = pods.add(answering("", status="502 Bad Gateway"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{proxy}:{pods.port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    kubernetes = FakeKubernetes([pod_body("a", pods.add(WELL)), pod_body("b", pods.add(WELL))])
    async with looked_after(kubernetes, fleet_of("servers", pods.port)) as fleets:
        await eventually(lambda: rounds(fleets, "servers", "ok") >= 1, 30)
    assert pods.heads[proxy] == []
