"""The operator's real process against a real API server and its real controllers, with pretended servers.

`operated` says what is real. What takes minutes with containers takes seconds here, and a test can end the operator
between any two of its requests. All of them hold besides what they are about that the operator's rights are enough, and
that the autoscaler is never told too few connections.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import re
import signal
import time
from typing import Any

import pytest

from e2e.gate import Request
from e2e.kube import CommandFailed
from e2e.operated import FLEET, SECRET, Operated, operated
from e2e.pretended import TOKEN, SimulatedServer, deployment
from kit.waiting import eventually

pytestmark = pytest.mark.timeout(120)


def names(*servers: SimulatedServer) -> set[str]:
    return {server.name for server in servers}


def drains(server: SimulatedServer) -> list[Any]:
    """What a server was told when it was told to drain."""
    return [body for method, path, body in server.told if (method, path) == ("POST", "/admin/drain")]


async def rounds(bench: Operated, count: int) -> None:
    """Wait until the operator has begun and ended so many more rounds."""
    begun = sum(one.method == "GET" and "/deployments/" in one.path for one in bench.gate.requests)
    await eventually(
        lambda: sum(one.method == "GET" and "/deployments/" in one.path for one in bench.gate.requests) > begun + count,
        what=f"{count} rounds",
    )


def writes(bench: Operated, begun: int = 0) -> list[Request]:
    return [one for one in bench.gate.requests[begun:] if one.writes]


async def test_replicas_are_adopted_and_go_where_they_are_asked_to() -> None:
    async with operated("scale", 50, 10, 40, 30, 20) as bench:
        fleet = await bench.fleet()
        assert fleet["spec"]["replicas"] == 5
        fifty, _, forty, _, _ = sorted(bench.servers.running, key=lambda one: one.name)
        order: list[int] = []

        async def told_to(server: SimulatedServer) -> None:
            order.append(server.clients)

        bench.servers.told = told_to
        begun = len(bench.gate.requests)
        await bench.scale(2)
        await bench.settled(2)
        assert names(*bench.servers.running) == names(fifty, forty)
        assert order == sorted(order)
        assert [drains(server) for server in bench.servers.gone] == [[{"rate": 100, "timeout": 600}]] * 3
        assert [one.step for one in writes(bench, begun) if one.step == "mark"] == ["mark"] * 3
        assert all(one.status == 200 for one in writes(bench, begun))
        await bench.scale(6)
        await bench.settled(6)
        assert not any(drains(server) for server in bench.servers.running)
        # Who looks reads it all there.
        told = await bench.events("Draining", "Drained", "ScaledDown", "ScaledUp")
        print("; ".join(told))
        assert re.fullmatch(r"draining tradecast-\S+ with 10 of 150 connections, .*: 2 are wanted.*5", told[0])
        assert "2 → 6 replicas: 6 are wanted" in told
        await eventually(lambda: _is_told(bench, desired=6, ready=6), what="the status says so")
        line = (await bench.kubectl("get", "sf", FLEET, "--no-headers")).split()
        assert line[:4] == [FLEET, "6", "6", "150"]
        assert "True" in line
        await eventually(lambda: _has_reasons(bench), what="wide lines have the reasons")
        described = await bench.kubectl("describe", f"sf/{FLEET}")
        assert "6 replicas, 6 wanted, 6 ready" in described
        # As an autoscaler reads and writes it.
        scale = json.loads(await bench.kubectl("get", "sf", FLEET, "--subresource=scale", "-o", "json"))
        selector = "app=servers,tier notin (other)"
        assert (scale["spec"]["replicas"], scale["status"]) == (6, {"replicas": 6, "selector": selector})
        with pytest.raises(CommandFailed, match="replicas: Invalid value: 0"):
            await bench.scale(0)
        begun_end = time.monotonic()
        assert await bench.operator.end(signal.SIGTERM) == 0
        assert time.monotonic() - begun_end < 5


@pytest.mark.long
async def test_replicas_of_the_deployment_are_the_operators() -> None:
    async with operated("byhand", 10, 20, 30) as bench:
        await bench.kubectl("scale", "deployment/tradecast", "--replicas=5")
        await eventually(lambda: len(bench.servers.running) == 5, what="two more")
        await bench.settled(3)
        assert sorted(server.clients for server in bench.servers.running) == [10, 20, 30]
        await bench.kubectl("scale", "deployment/tradecast", "--replicas=1")
        await bench.settled(3)


async def test_clients_of_a_pod_that_ends_are_counted() -> None:
    hold = 2
    async with operated("ends", 10, 20, 300, metric={"holdSeconds": hold, "staleSeconds": 3}) as bench:
        fullest = bench.servers.running[-1]
        # Without a node it would be gone at once; now it has until a kubelet says that it has ended.
        await bench.bind(fullest)
        await bench.kubectl("delete", "pod", fullest.name, "--wait=false")
        await eventually(lambda: len(bench.servers.running) == 4, what="its successor is there")
        begun = len(bench.gate.requests)
        await asyncio.sleep(hold + 0.2)  # what was told before is told no more
        await rounds(bench, 2)
        assert await bench.connections() == 330
        await bench.scale(2)
        await eventually(lambda: bench.servers.gone, what="one is drained")
        assert not drains(fullest)
        assert fullest.clients >= 300
        assert (await bench.fleet())["status"]["connections"] == 330
        assert await bench.connections() == 330
        await bench.kubectl("delete", "pod", fullest.name, "--force", "--grace-period=0")
        await bench.settled(2)
        assert [one.step for one in writes(bench, begun)].count("mark") <= 1


@pytest.mark.long
async def test_a_server_that_has_forgotten_its_drain_is_notified_again() -> None:
    async with operated("forgets", 10, 20, 30) as bench:
        emptiest = bench.servers.running[0]
        emptiest.stuck = True
        await bench.scale(2)
        await eventually(lambda: emptiest.draining, what="a drain")
        since = await _drain_since(bench, emptiest)
        await asyncio.sleep(1.1)  # what is written has whole seconds
        emptiest.draining = False  # its container has been started again
        await bench.servers.report(emptiest)
        await eventually(lambda: len(drains(emptiest)) == 2, what="it is told again")
        assert await _drain_since(bench, emptiest) == since
        emptiest.stuck = False
        bench.servers.leave(emptiest)
        await bench.settled(2)
        assert bench.servers.gone == [emptiest]


async def _drain_since(bench: Operated, server: SimulatedServer) -> str:
    (pod,) = [pod for pod in await bench.pods() if pod["metadata"]["name"] == server.name]
    return str(pod["metadata"]["annotations"]["tradecast.dev/drain-since"])


async def _is_told(bench: Operated, desired: int, ready: int) -> bool:
    status = (await bench.fleet())["status"]
    return bool(status.get("desiredReplicas") == desired and status.get("readyReplicas") == ready)


async def _has_reasons(bench: Operated) -> bool:
    header, line = (await bench.kubectl("get", "sf", FLEET, "-o", "wide")).splitlines()
    assert header.split()[-4:] == ["PROGRESS", "ADAPTER", "REDIS", "AGE"]
    reasons = {one["type"]: one["reason"] for one in (await bench.fleet())["status"]["conditions"]}
    return line.split()[-4:-1] == [reasons[one] for one in ("Progressing", "AdapterTuned", "RedisLimited")]


async def test_conditions_say_since_when_and_of_which_generation() -> None:
    async with operated("conditions", 5, 5) as bench:
        fleet = await bench.fleet()
        await rounds(bench, 3)
        assert (await bench.fleet())["metadata"]["generation"] == fleet["metadata"]["generation"], "a status is no spec"
        before = await bench.condition("Available")
        await asyncio.sleep(1.1)  # lastTransitionTime has whole seconds
        await bench.patch("sf", FLEET, {"spec": {"drain": {"timeoutSeconds": 60}}})
        generation = (await bench.fleet())["metadata"]["generation"]
        assert generation == fleet["metadata"]["generation"] + 1

        async def follows() -> bool:
            status = (await bench.fleet())["status"]
            seen = {one["observedGeneration"] for one in status["conditions"]} | {status["observedGeneration"]}
            return seen == {generation}

        await eventually(follows, what="all of the status is about the new spec")
        assert (await bench.condition("Available"))["lastTransitionTime"] == before["lastTransitionTime"]
        began = time.time()
        for server in bench.servers.running:
            server.hanging = True
            await bench.servers.report(server)
        changed = await eventually(lambda: _has(bench, "Available", "False"), what="it is not available")
        assert changed["reason"] == "TooFewReady"
        since = datetime.datetime.fromisoformat(changed["lastTransitionTime"]).timestamp()
        assert began - 1 <= since <= time.time()


async def _has(bench: Operated, kind: str, status: str, reason: str = "") -> dict[str, Any] | None:
    found = await bench.condition(kind)
    return found if found.get("status") == status and reason in ("", found.get("reason")) else None


async def killed_after(bench: Operated, step: str, replicas: int, then: int | None = None) -> None:
    """Scale, end the operator when a step is done and before it knows that, and start another one.

    Steps are those of `Request.step`, and what a server is told: drained, cancelled. `then` is what is asked for while
    there is no operator.
    """
    killed = asyncio.Event()

    def kill() -> None:
        if not killed.is_set():
            bench.operator.send(signal.SIGKILL)
        killed.set()

    async def answered(request: Request) -> None:
        if request.step == step:
            kill()

    async def told(server: SimulatedServer) -> None:
        if step == ("drained" if server.draining else "cancelled"):
            kill()

    bench.gate.answered, bench.servers.told = answered, told
    await bench.scale(replicas)
    await asyncio.wait_for(killed.wait(), 30)
    bench.gate.answered = bench.servers.told = None
    await bench.operator.end()
    await bench.free()
    if then is not None:
        await bench.scale(then)
    await bench.operator.start()
    await bench.settled(replicas if then is None else then)


async def test_an_operator_that_is_killed_after_any_step_is_followed_by_one_that_continues() -> None:
    steps = ["mark", "drained", "cost", "replicas", "event"]
    async with operated("killed", *range(10, 10 * (len(steps) + 2), 10)) as bench:
        for step in steps:
            emptiest, *others = bench.servers.running
            await killed_after(bench, step, len(others))
            assert names(*bench.servers.running) == names(*others), f"killed after {step}"
            assert not any(drains(server) for server in others), f"killed after {step}"
            assert bench.servers.gone[-1] is emptiest
        assert len(bench.servers.gone) == len(steps)


async def test_an_operator_that_is_killed_while_it_cancels_is_followed_by_one_that_continues() -> None:
    async with operated("cancels", 10, 20, 30) as bench:
        ten, twenty, thirty = bench.servers.running
        ten.stuck = twenty.stuck = True
        for step in ("cancelled", "unmark"):
            await bench.scale(1)
            await eventually(lambda: ten.draining and twenty.draining, what="two drains")
            await killed_after(bench, step, 3)
            assert bench.servers.running == [ten, twenty, thirty], f"killed after {step}"
            assert not any(server.draining for server in bench.servers.running), f"killed after {step}"
        for step in ("mark", "drained"):
            await killed_after(bench, step, 2, then=3)
            await eventually(
                lambda: not any(one.draining for one in bench.servers.running), what=f"all take clients: {step}"
            )


async def test_what_changes_between_looking_and_acting_is_decided_again() -> None:
    async with operated("anew", 10, 20, 30, 40, 50) as bench:
        fuller = bench.servers.running[2:]
        left = {"mark", "replicas"}

        async def asked(request: Request) -> None:
            if request.step in left:
                left.remove(request.step)
                if request.step == "mark":
                    await bench.kubectl("delete", "pod", request.path.rpartition("/")[2])
                else:
                    await bench.kubectl("annotate", "deployment", "tradecast", "example.org/changed=yes")

        bench.gate.asked = asked
        await bench.scale(3)
        await bench.settled(3)
        assert names(*bench.servers.running) == names(*fuller)
        statuses = [(one.step, one.status) for one in bench.gate.requests]
        assert statuses.count(("mark", 404)) == 1
        assert statuses.count(("replicas", 409)) == 1


async def test_of_those_that_drain_the_empty_ones_go() -> None:
    async with operated("empty", 10, 20, 30, 40, 50, 60) as bench:
        leaving = bench.servers.running[:5]
        for server in leaving:
            server.stuck = True
        await bench.scale(1)
        await eventually(lambda: all(server.draining for server in leaving), what="five drains")
        for gone, server in enumerate(reversed(leaving), start=1):
            bench.servers.leave(server)
            await eventually(lambda gone=gone: len(bench.servers.gone) == gone, what="one has gone")  # type: ignore[misc]
        assert bench.servers.gone == leaving[::-1]
        await bench.settled(1)


async def test_another_pod_goes_while_two_are_drained() -> None:
    async with operated("another", 10, 20, 30, 40, 50) as bench:
        ten, twenty, _, _, fifty = bench.servers.running
        ten.stuck = twenty.stuck = True
        await bench.scale(3)
        await eventually(lambda: ten.draining and twenty.draining, what="two drains")
        # Its successor is not there yet when the operator decides anew.
        bench.servers.starting = False
        await bench.kubectl("delete", "pod", fifty.name)
        await eventually(lambda: not twenty.draining, what="the fullest drain is cancelled")
        assert ten.draining
        ten.stuck = False
        await bench.servers.report(ten)
        bench.servers.leave(ten)
        bench.servers.start()
        await bench.settled(3)
        assert twenty in bench.servers.running
        assert ten in bench.servers.gone
        assert any("accepts clients again" in told for told in await bench.events("DrainCancelled"))


async def test_more_are_wanted_while_some_are_drained() -> None:
    async with operated("more", 10, 20, 30) as bench:
        emptiest = bench.servers.running[0]
        emptiest.stuck = True
        await bench.scale(1)
        await eventually(lambda: len([one for one in bench.servers.running if one.draining]) == 1, what="two are told")
        await bench.scale(4)
        await bench.settled(4)
        assert emptiest in bench.servers.running
        assert not emptiest.draining
        assert emptiest.told[-1][:2] == ("DELETE", "/admin/drain")


async def test_a_drain_that_does_not_end_is_reported_and_finished() -> None:
    async with operated("overdue", 10, 20, 30, drain={"timeoutSeconds": 2}) as bench:
        emptiest = bench.servers.running[0]
        emptiest.stuck = True
        await bench.scale(2)
        await bench.settled(2)
        assert bench.servers.gone == [emptiest]
        assert emptiest.left == 10
        (told,) = await bench.events("DrainOverdue")
        assert told == f"{emptiest.name} still has 10 connections after 2 s: it is deleted nevertheless"


async def test_paused_and_dry_it_changes_nothing() -> None:
    async with operated("paused", 10, 20, 30) as bench:
        await bench.kubectl("annotate", "sf", FLEET, "tradecast.dev/paused=true")
        await eventually(lambda: _has(bench, "Progressing", "False", "Paused"), what="it is paused")
        begun = len(bench.gate.requests)
        await bench.scale(2)
        await rounds(bench, 4)
        await bench.patch("sf", FLEET, {"spec": {"dryRun": True}})
        await bench.kubectl("annotate", "sf", FLEET, "tradecast.dev/paused-")
        await eventually(lambda: bench.events("Draining"), what="it tells what it would do")
        await rounds(bench, 3)
        assert not writes(bench, begun)
        assert not any(server.told for server in bench.servers.running)
        (told,) = await bench.events("Draining")
        assert told.startswith("dry run: draining tradecast-")
        assert await bench.connections() == 60
        await bench.patch("sf", FLEET, {"spec": {"dryRun": False}})
        await bench.settled(2)


async def test_a_rollout_comes_in_the_middle_of_a_drain() -> None:
    async with operated("rollout", 10, 20, 30, 40) as bench:
        old = names(*bench.servers.running)
        emptiest = bench.servers.running[0]
        emptiest.stuck = True
        await bench.scale(3)
        await eventually(lambda: emptiest.draining, what="a drain")
        bench.servers.starting = False
        await bench.kubectl("set", "env", "deployment/tradecast", "VERSION=2")
        await eventually(lambda: not emptiest.draining, what="it is cancelled")
        await eventually(lambda: _none_marked(bench), what="no pod is marked")
        begun = len(bench.gate.requests)
        await rounds(bench, 4)
        assert not writes(bench, begun), "a rollout that is stuck keeps the fleet from shrinking"
        emptiest.stuck = False
        bench.servers.start()
        await bench.settled(3)
        assert not old & names(*bench.servers.running)


async def _none_marked(bench: Operated) -> bool:
    return not await bench.marked()


async def test_a_second_operator_does_no_harm() -> None:
    async with operated("two", 10, 20, 30, 40, 50) as bench:
        second = bench.another("second")
        await second.start()
        await eventually(lambda: bench.connections(second), what="both tell")
        fullest = bench.servers.running[-2:]
        await bench.scale(2)
        await bench.settled(2)
        assert names(*bench.servers.running) == names(*fullest)
        assert not any(drains(server) for server in fullest)
        await bench.scale(4)
        await bench.settled(4)
        assert names(*fullest) <= names(*bench.servers.running)


async def test_the_socketfleet_is_deleted_and_made_again() -> None:
    async with operated("again", 10, 20, 30) as bench:
        emptiest = bench.servers.running[0]
        emptiest.stuck = True
        await bench.scale(2)
        await eventually(lambda: emptiest.draining, what="a drain")
        await bench.kubectl("delete", "sf", FLEET, "--timeout=60s")
        await eventually(lambda: not emptiest.draining, what="it takes clients again")
        await eventually(lambda: _none_marked(bench), what="no pod is marked")
        assert await bench.connections() is None
        assert not bench.servers.gone
        assert await bench.replicas() == 3
        await bench.make_fleet()
        await eventually(lambda: _adopted(bench, 3), what="its replicas are filled in")
        await eventually(lambda: bench.connections(), what="it is known again")
        emptiest.stuck = False
        await bench.scale(2)
        await bench.settled(2)
        assert bench.servers.gone == [emptiest]


async def _adopted(bench: Operated, replicas: int) -> bool:
    return bool((await bench.fleet())["spec"].get("replicas") == replicas)


async def test_the_deployment_and_the_token_come_late() -> None:
    async with operated("late") as bench:
        await bench.kubectl("delete", "secret", SECRET)
        await bench.make_fleet()
        await bench.operator.start()
        lost = await eventually(lambda: _has(bench, "Available", "Unknown", "NotSeen"), what="it is not seen")
        assert "deployments/tradecast" in lost["message"]
        assert await bench.connections() is None
        await bench.apply(deployment(3))
        await bench.load(10, 20, 30)
        lost = await eventually(lambda: _says(bench, "Available", f"secrets/{SECRET}"), what="the Secret is missed")
        await bench.make_token("another")
        silent = await eventually(lambda: _has(bench, "Degraded", "True", "ServersSilent"), what="servers refuse")
        assert bench.servers.running[0].name in silent["message"]
        assert await bench.connections() is None
        assert await bench.replicas() == 3
        assert "another" not in bench.operator.written()
        await bench.make_token(TOKEN)
        await eventually(lambda: _has(bench, "Degraded", "False"), within=60, what="every server answers")
        assert await eventually(bench.connections, what="it is told") == 60
        await bench.scale(2)
        await bench.settled(2)


async def test_a_secret_that_does_not_consent_and_servers_of_the_version_before() -> None:
    async with operated("before", 10, 20) as bench:
        trusted = await eventually(lambda: _has(bench, "AdminTrusted", "True"), what="requests are signed")
        assert trusted["reason"] == "Signed"
        seen = [one for server in bench.servers.running for one in server.authorizations]
        assert not any(TOKEN in one for one in seen)
        assert any(one.startswith("Tradecast-Hmac ") for one in seen)
        await bench.make_token(consents=False)
        bench.servers.running[0].old = True  # it only says so: another of its ReplicaSet has taken a signed request
        await eventually(lambda: _has(bench, "Degraded", "True", "ServersSilent"), what="it is silent")
        assert not any(TOKEN in one for server in bench.servers.running for one in server.authorizations)
        await bench.kubectl("set", "env", "deployment/tradecast", "VERSION=2")
        await eventually(lambda: len(bench.servers.running) == 2, what="new ones are there")
        await bench.settled(2)
        warned = await eventually(
            lambda: _has(bench, "AdminTrusted", "False", "SecretNotLabelled"), what="the label is missed"
        )
        assert "tradecast.dev/admin-token=true" in warned["message"]
        assert await bench.events("SecretNotLabelled")
        await bench.make_token()
        assert await eventually(lambda: _has(bench, "AdminTrusted", "True", "Signed"), within=90, what="it consents")


async def test_pods_that_only_wear_the_labels_are_left_alone() -> None:
    async with operated("labels", 10, 20) as bench:
        pod = {**deployment(1)["spec"]["template"], "apiVersion": "v1", "kind": "Pod"}
        pod["metadata"] = {**pod["metadata"], "name": "stranger"}
        await bench.apply(pod)
        told = await eventually(lambda: _has(bench, "AdminTrusted", "False", "ForeignPods"), what="it is told")
        assert told["message"].endswith(": stranger")
        await eventually(lambda: len(bench.servers.running) == 3, what="it runs")
        stranger = bench.servers.named("stranger")
        begun = len(bench.gate.requests)
        await rounds(bench, 3)
        assert stranger.authorizations == []
        assert (await bench.fleet())["status"]["readyReplicas"] == 2
        assert not any("/pods/stranger" in one.path for one in bench.gate.requests[begun:])
        await bench.scale(1)
        await eventually(lambda: bench.servers.gone, what="one goes")
        assert stranger not in bench.servers.gone


async def test_a_fleet_that_names_what_is_no_name_gets_an_error_that_says_so() -> None:
    """The API server refuses it by the CRD; and so does the operator where another CRD lets it pass."""
    async with operated("names", 10) as bench:
        with pytest.raises(CommandFailed, match="tokenSecret"):
            await bench.patch(
                "sf", FLEET, {"spec": {"admin": {"tokenSecret": {"name": "../../kube-system/secrets/x"}}}}
            )
        await bench.patch("sf", FLEET, {"spec": {"drain": {"timeoutSeconds": 2**62, "connectionsPerSecond": 2**62}}})
        await bench.patch("sf", FLEET, {"spec": {"rebalance": {"minPods": 2**62, "acceptPerSecond": 2**62}}})
        await rounds(bench, 3)
        assert (await bench.condition("Degraded"))["status"] == "False"
        assert await bench.connections() == 10


async def _says(bench: Operated, kind: str, what: str) -> dict[str, Any] | None:
    found = await bench.condition(kind)
    return found if what in found.get("message", "") else None


async def test_what_takes_its_time() -> None:
    """At once: they wait most of the time."""
    async with asyncio.TaskGroup() as group:
        group.create_task(the_api_server_is_away_for_a_while())
        group.create_task(a_namespace_goes_under_it())
        group.create_task(one_operator_acts_and_another_takes_over())


async def the_api_server_is_away_for_a_while() -> None:
    async with operated("away", 10, 20, 30) as bench:
        assert await bench.alive() == 200
        bench.gate.close()
        await bench.scale(2)
        await eventually(lambda: _none_told(bench), within=60, what="nothing is told")
        await eventually(lambda: _is_dead(bench), within=60, what="the kubelet is told")
        assert bench.operator.running
        lines = [json.loads(line) for line in bench.operator.written().splitlines() if line.startswith("{")]
        assert "round failed" in {line["message"] for line in lines}, "every line is JSON"
        bench.gate.open()
        await eventually(lambda: _is_alive(bench), within=60, what="it is well again")
        await bench.settled(2)
        assert await bench.connections() == 60


async def _none_told(bench: Operated) -> bool:
    return await bench.connections() is None


async def _is_dead(bench: Operated) -> bool:
    return await bench.alive() >= 500


async def _is_alive(bench: Operated) -> bool:
    return await bench.alive() == 200


async def a_namespace_goes_under_it() -> None:
    async with operated("goes", 10, 20, 30, lasts=False) as bench:
        bench.servers.running[0].stuck = True
        await bench.scale(2)
        await eventually(lambda: bench.servers.running[0].draining, what="a drain")
        await bench.kubectl("delete", "namespace", bench.namespace.name, "--timeout=30s")


@pytest.mark.parametrize("servers", [40, pytest.param(200, marks=pytest.mark.long)])
async def test_a_large_fleet_costs_few_requests(servers: int) -> None:
    fewer = servers // 10
    async with operated(f"large-{servers}", *range(1000, 1000 + servers)) as bench:
        await eventually(lambda: _is_told(bench, desired=servers, ready=servers), what="nothing changes any more")
        await rounds(bench, 2)
        begun, since = len(bench.gate.requests), time.monotonic()
        await rounds(bench, 5)
        asked = bench.gate.requests[begun:]
        count = sum("/deployments/" in one.path for one in asked)
        print(f"{servers} pods, at rest: {len(asked)} requests in {count} rounds, {time.monotonic() - since:.1f} s")
        assert len(asked) <= 3 * count + 2
        begun, since = len(bench.gate.requests), time.monotonic()
        await bench.scale(servers - fewer)
        await bench.settled(servers - fewer, within=60)
        asked = bench.gate.requests[begun:]
        count = sum(one.method == "GET" and "/deployments/" in one.path for one in asked)
        steps = [one.step for one in asked]
        print(
            f"{fewer} fewer: {time.monotonic() - since:.1f} s, {len(asked)} requests in {count} rounds: "
            f"{ {step: steps.count(step) for step in sorted(set(steps))} }"
        )
        assert steps.count("mark") == steps.count("cost") == fewer
        assert steps.count("replicas") <= fewer
        # Each action is told, and each round may tell a status.
        assert len(asked) <= 5 * count + 4 * fewer + 5
        assert names(*bench.servers.gone).isdisjoint(names(*bench.servers.running))
        assert all(server.left < 1000 + fewer for server in bench.servers.gone)


async def _lease_holder(bench: Operated) -> str:
    return (await bench.kubectl("get", "lease", f"{FLEET}-operator", "-o", "jsonpath={.spec.holderIdentity}")).strip()


async def one_operator_acts_and_another_takes_over() -> None:
    async with operated("lease", 10, 20, 30, 40, 50) as bench:
        first, second = bench.operator, bench.another("second")
        fullest = bench.servers.running[-1]
        await second.start()
        await eventually(lambda: bench.connections(second), what="both tell")
        await bench.scale(4)
        await bench.settled(4)
        assert {one.token for one in writes(bench)} == {first.token}
        begun, since = len(bench.gate.requests), time.monotonic()
        await first.end()
        await bench.scale(3)
        await bench.settled(3, within=60)
        killed = time.monotonic() - since
        assert {one.token for one in writes(bench, begun)} == {second.token}
        await first.start()
        await eventually(lambda: bench.connections(first), what="the first tells again")
        begun, since = len(bench.gate.requests), time.monotonic()
        holder = await _lease_holder(bench)
        assert await second.end(signal.SIGTERM) == 0
        assert await _lease_holder(bench) != holder, "it gives the Lease back, so that nobody waits for its end"
        await bench.scale(1)
        await bench.settled(1, within=60)
        print(
            f"taken over and carried out: {killed:.0f} s after a kill, {time.monotonic() - since:.0f} s after SIGTERM"
        )
        assert {one.token for one in writes(bench, begun) if one.step} == {first.token}
        assert bench.servers.running == [fullest]
        assert len(await bench.events("Draining")) == 4
