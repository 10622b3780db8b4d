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
        description="Seconds between readiness off and the first disconnected client: until a Service's endpoints "
        "follow",
    )
    drain_rate: Positive = Field(
        100,
        description="Clients disconnected per second by drains and shedding, by all servers together if they share "
        "a Redis; a drain that would take too long at this rate is faster",
    )
    drain_timeout: Positive = Field(
        60, le=DAY, description="Seconds for disconnecting clients; those that are left are then closed at once"
    )
    platform_notice: Annotated[float, Field(ge=0, le=DAY)] = Field(
        0,
        description="Seconds from SIGTERM until the platform kills the machine, whatever the process was promised "
        "(spot instances, node shutdown): a drain by SIGTERM takes at most that, less SHUTDOWN_TIMEOUT; 0: not known",
    )
    accept_rate: Positive = Field(500, description="New connections accepted per second, in the long run")
    accept_burst: Count = Field(1000, description="New connections accepted at once after a quiet time")
    accept_wait: Annotated[float, Field(ge=0, le=15)] = Field(
        5,
        description="Seconds for which a new connection beyond that is held before it is refused with 503 (clients "
        "give up after 20)",
    )


class RolloutSettings(Group):
    """Rollouts."""

    fleet_revision: str | None = Field(
        None,
        max_length=200,
        description="What is deployed, different for each rollout (Kubernetes: the label pod-template-hash). With "
        "it and REDIS_URL, servers leave new clients to those of a newer revision; absent: they do not",
    )
    pod_name: str | None = Field(None, max_length=300, description="This server's name, for `/admin/stats`")
    pod_uid: str | None = Field(
        None,
        max_length=200,
        description="Identifies this server among all others, also across restarts of its container (Kubernetes: "
        "the pod's uid); absent: generated at each start, and an operator cannot sign requests to the "
        "server",
    )
