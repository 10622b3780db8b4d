"""Accepting and draining, and rollouts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tradecast.config.groups.base import Group
from tradecast.config.types import (
    DAY,
    Count,
    Positive,
)


class AcceptSettings(Group):
    """Draining and accepting."""

    drain_delay: Annotated[float, Field(ge=0, le=3600)] = Field(
        0,
        description="Seconds between readiness off and the first client sent away: until a Service's endpoints follow",
    )
    drain_rate: Positive = Field(
        100,
        description="Clients sent away per second by drains and shedding, of all servers together where they have a "
        "Redis in common",
    )
    drain_timeout: Positive = Field(
        60, le=DAY, description="Seconds for sending clients away; those who are left are then closed at once"
    )
    accept_rate: Positive = Field(500, description="New connections let in per second, in the long run")
    accept_burst: Count = Field(1000, description="New connections let in at once after a quiet time")
    accept_wait: Annotated[float, Field(ge=0, le=15)] = Field(
        5, description="Seconds a new connection beyond that is held before it is told 503 (clients give up after 20)"
    )


class RolloutSettings(Group):
    """Rollouts."""

    fleet_revision: str | None = Field(
        None,
        max_length=200,
        description="What is deployed, another word for each rollout (Kubernetes: the label pod-template-hash). With "
        "it and REDIS_URL, servers leave new clients to those of a newer revision; absent: they do not",
    )
    pod_name: str | None = Field(None, max_length=300, description="This server's name, for `/admin/stats`")
    pod_uid: str | None = Field(
        None,
        max_length=200,
        description="What tells this server from all others and outlives restarts of its container (Kubernetes: the "
        "pod's uid); absent: made up at each start, and an operator cannot sign its requests to it",
    )
