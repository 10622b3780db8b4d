"""The eight settings that one server can change while it runs: the one definition of their bounds, defaults, meanings.

`Settings` takes its fields from here. ADAPTER_FILE may override them, within the same bounds (`runtime_config`).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

HistoryEvents = Annotated[int, Field(ge=1, le=1_000_000)]
PublishBatch = Annotated[int, Field(ge=1, le=1_000)]
BatchWindow = Annotated[float, Field(ge=0, le=1_000)]
PublishBuffer = Annotated[int, Field(ge=1, le=1_000_000)]
PublishTimeout = Annotated[float, Field(gt=0, le=600)]
ChannelLinger = Annotated[float, Field(ge=0, le=3_600)]
SubscriptionBatch = Annotated[int, Field(ge=1, le=10_000)]
PublishBoth = Annotated[int, Field(ge=0, le=1)]


class RuntimeSettings(BaseModel):
    """Values of all eight.

    What servers must agree on is not among them: RECOVERY_WINDOW and the heartbeat say how long all of them keep what
    any of them needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    history_events: HistoryEvents = Field(
        1_000, description="Events kept per room, for clients that reconnect within RECOVERY_WINDOW"
    )
    publish_batch: PublishBatch = Field(64, description="Largest number of events sent to Redis in one request")
    batch_window_ms: BatchWindow = Field(
        0,
        description="Milliseconds that an event may wait for others to share its request; 0: only events that "
        "arrive while a request is in flight are batched",
    )
    publish_buffer: PublishBuffer = Field(
        10_000, description="Events that may be queued for Redis; beyond, publishing fails at once"
    )
    publish_timeout: PublishTimeout = Field(
        10, description="Seconds that an event waits for Redis to accept it; then publishing fails"
    )
    channel_linger: ChannelLinger = Field(
        15, description="Seconds for which a server stays subscribed to a room that its last client has left"
    )
    subscription_batch: SubscriptionBatch = Field(
        500, description="Largest number of channels subscribed to, or unsubscribed from, in one request"
    )
    publish_both: PublishBoth = Field(
        0,
        description="1: also publish every event to the Redis of the other mode, for servers that run in it; "
        "publishing waits for both, PUBLISH_TIMEOUT each; needs REDIS_CLUSTER_URL, and mode pubsub or "
        "sharded",
    )

    @model_validator(mode="after")
    def _check_batch_window(self) -> RuntimeSettings:
        if self.batch_window_ms / 1000 >= self.publish_timeout:
            raise ValueError("batch_window_ms is not below publish_timeout")
        return self


def runtime_field(name: str) -> Any:
    """The field of `Settings` for one of them: its default and its meaning. Its type carries the bounds."""
    field = RuntimeSettings.model_fields[name]
    return Field(field.default, description=field.description)
