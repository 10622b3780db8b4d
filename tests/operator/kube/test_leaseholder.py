"""Operators that want the Lease of one fleet; Kubernetes in memory, and a clock that the test sets."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import httpx
import pytest

from kit.kubernetes.fake_api import NAMESPACE, FakeKubernetes, fleet_body
from kit.waiting import eventually
from tradecast_operator.kube.client import Conflict, Missing, Object
from tradecast_operator.kube.lease import DEADLINE, DURATION, RETRY, NotHeld
from tradecast_operator.kube.leaseholder import FORBIDDEN_RETRY, Leaseholder

NAME = "fleet-operator"


class Listener:
    """Notes that it was notified."""

    def __init__(self) -> None:
        self.notified = asyncio.Event()

    def lease_changed(self) -> None:
        self.notified.set()


class Shared:
    """Two operators, one Kubernetes, one clock."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.kubernetes = FakeKubernetes()
        self.first, self.second = self.one(), self.one()

    def one(self) -> Leaseholder:
        return Leaseholder(self.kubernetes, fleet_body(), lambda: self.now)

    @property
    def spec(self) -> Object:
        found: Object = self.kubernetes.leases[NAME]["spec"]
        return found


@pytest.fixture
def shared() -> Shared:
    return Shared()


async def test_the_first_has_it_and_the_other_waits(shared: Shared) -> None:
    await shared.first.attempt()
    await shared.second.attempt()
    assert (shared.first.holds(), shared.second.holds()) == (True, False)
    metadata = shared.kubernetes.leases[NAME]["metadata"]
    assert metadata["namespace"] == NAMESPACE
    assert [owner["uid"] for owner in metadata["ownerReferences"]] == ["fleet-uid"]
    assert shared.spec["renewTime"].endswith("Z")


async def test_it_is_the_others_once_the_first_has_not_renewed_it(shared: Shared) -> None:
    await shared.first.attempt()
    await shared.second.attempt()
    shared.now += DEADLINE
    assert not shared.first.holds()
    await shared.second.attempt()
    assert not shared.second.holds()
    shared.now += DURATION - DEADLINE
    await shared.second.attempt()
    assert shared.second.holds()
    assert shared.spec["leaseTransitions"] == 1
    await shared.first.attempt()
    assert not shared.first.holds()


async def test_one_that_is_renewed_stays(shared: Shared) -> None:
    for _ in range(20):
        await shared.first.attempt()
        await shared.second.attempt()
        shared.now += 2
    assert (shared.first.holds(), shared.second.holds()) == (True, False)
    assert shared.spec["leaseTransitions"] == 0


async def test_one_that_is_let_go_is_had_at_once(shared: Shared) -> None:
    await shared.first.attempt()
    await shared.second.attempt()
    await shared.first.release()
    assert not shared.first.holds()
    await shared.second.attempt()
    assert shared.second.holds()


async def test_one_whose_renewal_was_cut_off_by_the_end_is_released_all_the_same(shared: Shared) -> None:
    await shared.first.attempt()
    await shared.second.attempt()
    write = shared.kubernetes.set_lease

    async def cut_off(namespace: str, name: str, version: str, spec: Object) -> Object:
        await write(namespace, name, version, spec)
        raise asyncio.CancelledError

    shared.kubernetes.set_lease = cut_off  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await shared.first.attempt()
    shared.kubernetes.set_lease = write  # type: ignore[method-assign]
    await shared.first.release()
    await shared.second.attempt()
    assert shared.second.holds()


async def test_one_that_is_somebody_elses_by_now_is_left_to_them(shared: Shared) -> None:
    await shared.first.attempt()
    await shared.second.attempt()
    shared.now += DURATION
    await shared.second.attempt()
    await shared.first.release()
    assert shared.second.holds()
    assert shared.spec["holderIdentity"]


async def test_who_waits_lets_nothing_go(shared: Shared) -> None:
    await shared.first.attempt()
    await shared.second.attempt()
    await shared.second.release()
    await shared.first.attempt()
    assert shared.first.holds()


async def test_one_that_lost_it_while_away_does_not_take_itself_for_the_holder(shared: Shared) -> None:
    await shared.first.attempt()
    await shared.second.attempt()
    shared.now += DURATION
    await shared.second.attempt()
    with pytest.raises(NotHeld):
        async with shared.first.acting():
            raise AssertionError("it acts")
    await shared.first.attempt()
    assert (shared.first.holds(), shared.second.holds()) == (False, True)


async def test_somebody_takes_it_by_force(shared: Shared) -> None:
    """It is seen with the next renewal, before the deadline."""
    await shared.first.attempt()
    version = shared.kubernetes.leases[NAME]["metadata"]["resourceVersion"]
    await shared.kubernetes.set_lease(NAMESPACE, NAME, version, {"holderIdentity": "other"})
    await shared.first.attempt()
    assert not shared.first.holds()


async def test_whether_somebody_else_may_have_acted_is_reported_by_the_term(shared: Shared) -> None:
    terms = [shared.first.term]
    await shared.first.attempt()
    first = shared.first.term
    await shared.first.attempt()
    terms.append(shared.first.term)
    shared.now += DEADLINE
    terms.append(shared.first.term)
    assert first is not None
    assert terms == [None, first, None]
    await shared.first.attempt()
    assert shared.first.term == first, "nobody else has had it"
    await shared.second.attempt()
    shared.now += DURATION
    await shared.second.attempt()
    await shared.first.attempt()
    await shared.second.release()
    await shared.first.attempt()
    assert shared.first.term not in (None, first)


async def test_one_that_somebody_deletes_is_made_again(shared: Shared) -> None:
    await shared.first.attempt()
    del shared.kubernetes.leases[NAME]
    await shared.first.attempt()
    assert shared.first.holds()
    assert shared.kubernetes.leases[NAME]["spec"]["holderIdentity"]


async def test_a_renewal_whose_answer_was_lost_counts_from_the_next_one(shared: Shared) -> None:
    await shared.first.attempt()
    write = shared.kubernetes.set_lease

    async def unanswered(namespace: str, name: str, version: str, spec: Object) -> Object:
        await write(namespace, name, version, spec)
        raise httpx.ReadTimeout("no answer")

    shared.kubernetes.set_lease = unanswered  # type: ignore[method-assign]
    shared.now += 6
    with pytest.raises(httpx.ReadTimeout):
        await shared.first.attempt()
    shared.now += 4
    assert not shared.first.holds()
    shared.kubernetes.set_lease = write  # type: ignore[method-assign]
    await shared.first.attempt()
    assert shared.first.holds()


async def test_of_two_who_want_it_at_the_same_time_one_gets_it(shared: Shared) -> None:
    read = shared.kubernetes.lease
    both = asyncio.Barrier(2)

    async def together(namespace: str, name: str) -> Object:
        try:
            return await read(namespace, name)
        finally:
            if both.n_waiting < 2 and not shared.kubernetes.leases:
                await both.wait()

    shared.kubernetes.lease = together  # type: ignore[method-assign]
    await asyncio.gather(shared.first.attempt(), shared.second.attempt())
    assert sorted([shared.first.holds(), shared.second.holds()]) == [False, True]


async def test_what_hangs_ends_before_another_one_may_act() -> None:
    holder = Leaseholder(FakeKubernetes(), fleet_body())
    await holder.attempt()
    holder._tenure = replace(holder._tenure, renewed=time.monotonic() - DEADLINE + 2)
    began = time.monotonic()
    with pytest.raises(NotHeld):
        async with holder.acting():
            await asyncio.Future()
    assert time.monotonic() - began <= DURATION - DEADLINE + 2.5


async def test_one_that_kubernetes_does_not_grant_is_another_operators_and_not_asked_for_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert FORBIDDEN_RETRY > 10 * RETRY
    monkeypatch.setattr("tradecast_operator.kube.leaseholder.FORBIDDEN_RETRY", 0.001)
    monkeypatch.setattr("tradecast_operator.kube.leaseholder.RETRY", 3_600)
    kubernetes = FakeKubernetes()

    asked = 0

    async def refuse(namespace: str, name: str) -> Object:
        nonlocal asked
        asked += 1
        request = httpx.Request("GET", "https://kubernetes")
        raise httpx.HTTPStatusError("no", request=request, response=httpx.Response(403, request=request))

    kubernetes.lease = refuse  # type: ignore[method-assign]
    holder = Leaseholder(kubernetes, fleet_body())
    task = asyncio.create_task(holder.run(Listener()))
    try:
        await eventually(lambda: asked > 1)
        assert holder.forbidden
        assert not holder.holds()
    finally:
        task.cancel()


@pytest.mark.parametrize(
    "error",
    [Conflict("x"), Missing("x"), httpx.ConnectError("x"), OSError(), TimeoutError(), KeyError("spec")],
)
async def test_it_continues_after_any_error(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradecast_operator.kube.leaseholder.RETRY", 0.001)
    kubernetes = FakeKubernetes()
    read, times = kubernetes.lease, 0

    async def fail_first(namespace: str, name: str) -> Object:
        nonlocal times
        times += 1
        if times < 3:
            raise error
        return await read(namespace, name)

    kubernetes.lease = fail_first  # type: ignore[method-assign]
    holder, listener = Leaseholder(kubernetes, fleet_body()), Listener()
    task = asyncio.create_task(holder.run(listener))
    try:
        async with asyncio.timeout(10):
            await listener.notified.wait()
        assert holder.holds()
    finally:
        task.cancel()
