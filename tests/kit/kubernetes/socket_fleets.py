"""Fleets to decide over, as short as they can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tradecast_operator.model.observation import Observation, Pod, Stats
from tradecast_operator.model.spec import Spec

NOW = 1_000_000.0


def pod(name: str, clients: int | None = 0, **fields: Any) -> Pod:
    """A pod in service for an hour; None: its server does not answer."""
    state = {key: fields.pop(key) for key in ("draining", "shedding") if key in fields}
    stats = None if clients is None else Stats(connections=clients, adapter={"mode": "pubsub"}, **state)
    return Pod(**{"name": name, "uid": f"uid-{name}", "ready_since": NOW - 3600, "stats": stats, **fields})


def pending(name: str) -> Pod:
    """A pod whose container has not run."""
    return pod(name, None, ready_since=None, started=False)


def drained(name: str, clients: int | None, since: float = NOW - 10, **fields: Any) -> Pod:
    """A pod that the operator drains."""
    return pod(name, clients, **{"ready_since": None, "draining": True, "drain_since": since, **fields})


def silent(one: Pod) -> Pod:
    """The same without an answer."""
    return replace(one, stats=None)


def seen(pods: Sequence[Pod], **fields: Any) -> Observation:
    """A fleet of these pods, and of as many asked for."""
    return Observation(**{"time": NOW, "replicas": len(pods), "version": "7", "rolling": False, "pods": pods, **fields})


def spec(replicas: int, **fields: Any) -> Spec:
    """A fleet that is to have so many."""
    return Spec(**{"deployment": "x", "replicas": replicas, "min_replicas": 1, "max_replicas": 10_000, **fields})
