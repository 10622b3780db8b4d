"""The operator's ConfigMap of a fleet."""

from __future__ import annotations

import copy

import pytest

from kit.kubernetes.fake_api import NAMESPACE, FakeKubernetes, Granted
from tradecast_operator.kube.client import Conflict
from tradecast_operator.kube.lease import NotHeld
from tradecast_operator.reconcile.config_map import KEY, AdapterConfigMap, ConfigMapStore
from tradecast_operator.tuning.record import TuningRecord

NAME = "fleet-adapter"
RECORD = TuningRecord(settings={"publish_batch": 7}, changed_at=1, mode="pubsub")


async def test_what_is_written_is_read_again() -> None:
    kubernetes = FakeKubernetes()
    store = ConfigMapStore(kubernetes, NAMESPACE, Granted())
    assert await store.read(NAME) == AdapterConfigMap()
    await store.write(NAME, RECORD, AdapterConfigMap())
    assert kubernetes.config_maps[NAME]["data"] == {KEY: "publish_batch: 7\n", "mode": "pubsub"}
    found = await store.read(NAME)
    assert (found.record, found.is_foreign, found.is_changed) == (RECORD, False, False)


async def test_changes_of_somebody_else_are_noticed_and_not_overwritten_unseen() -> None:
    kubernetes = FakeKubernetes()
    store = ConfigMapStore(kubernetes, NAMESPACE, Granted())
    await store.write(NAME, RECORD, AdapterConfigMap())
    read = await store.read(NAME)
    changed = copy.deepcopy(kubernetes.config_maps[NAME])
    changed["data"]["mode"] = "sharded"
    await kubernetes.apply_config_map(NAMESPACE, changed)
    with pytest.raises(Conflict):
        await store.write(NAME, RECORD, read)
    assert (await store.read(NAME)).is_changed
    kubernetes.config_maps[NAME]["metadata"]["labels"] = {}
    assert (await store.read(NAME)).is_foreign


async def test_without_the_lease_nothing_is_written() -> None:
    kubernetes = FakeKubernetes()
    with pytest.raises(NotHeld):
        await ConfigMapStore(kubernetes, NAMESPACE, Granted(held=False)).write(NAME, RECORD, AdapterConfigMap())
    assert kubernetes.config_maps == {}
