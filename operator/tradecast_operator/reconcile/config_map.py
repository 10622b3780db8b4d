"""The operator's ConfigMap of one fleet: the settings and the mode for its servers, and the record of the tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tradecast_operator.kube.client import FIELD_MANAGER, Kubernetes, Missing, Object
from tradecast_operator.kube.leaseholder import Leaseholder
from tradecast_operator.kube.observe import MODE_KEY
from tradecast_operator.tuning.record import TuningRecord

# The annotation with the record.
STATE: Final = "tradecast.dev/adapter-state"
# The key with the settings.
KEY: Final = "adapter.yaml"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"


@dataclass(frozen=True, slots=True)
class AdapterConfigMap:
    """The ConfigMap as it was read.

    Attributes:
        body: None: there is no such ConfigMap.
        record: The record in its annotation; None: there is no valid one.
    """

    body: Object | None = None
    record: TuningRecord | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether somebody else has made it: such a ConfigMap is not overwritten."""
        if self.body is None:
            return False
        return bool((self.body["metadata"].get("labels") or {}).get(MANAGED_BY) != FIELD_MANAGER)

    @property
    def is_changed(self) -> bool:
        """Whether its data differ from its record: somebody else has changed it."""
        if self.body is None or self.record is None:
            return False
        data = self.body.get("data") or {}
        return data.get(KEY) != self.record.content or data.get(MODE_KEY, "") != self.record.mode


class ConfigMapStore:
    """Reads and writes the ConfigMap.

    Args:
        kubernetes: The API.
        namespace: The fleet's namespace.
        lease: Without the Lease nothing is written.
    """

    def __init__(self, kubernetes: Kubernetes, namespace: str, lease: Leaseholder) -> None:
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._lease = lease

    async def read(self, name: str) -> AdapterConfigMap:
        """Read it. Raises InvalidName or httpx.HTTPError."""
        try:
            body = await self._kubernetes.config_map(self._namespace, name)
        except Missing:
            return AdapterConfigMap()
        annotations: Mapping[str, Any] = body.get("metadata", {}).get("annotations") or {}
        return AdapterConfigMap(body, TuningRecord.parse(str(annotations.get(STATE, ""))))

    async def write(self, name: str, record: TuningRecord, found: AdapterConfigMap) -> None:
        """Write it over what was found, and over nothing else.

        Raises:
            Conflict: Somebody else has changed it meanwhile.
            NotHeld: Another operator may write now.
        """
        # Without an owner reference: a SocketFleet that is deleted leaves its servers with their settings.
        version = {} if found.body is None else {"resourceVersion": found.body["metadata"]["resourceVersion"]}
        body: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": self._namespace,
                "labels": {MANAGED_BY: FIELD_MANAGER},
                "annotations": {STATE: record.dump()},
                **version,
            },
            "data": {KEY: record.content, **({MODE_KEY: record.mode} if record.mode else {})},
        }
        async with self._lease.acting():
            await self._kubernetes.apply_config_map(self._namespace, body)
