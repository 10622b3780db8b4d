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
        1_000, description="Events that are kept of each room, for clients that come back within RECOVERY_WINDOW"
    )
    publish_batch: PublishBatch = Field(64, description="Events that go to Redis in one request at most")
    batch_window_ms: BatchWindow = Field(
        0,
        description="Milliseconds that an event may wait for others to go in the same request; 0: those go together "
        "that come while a request is under way",
    )
    publish_buffer: PublishBuffer = Field(
        10_000, description="Events that may wait for Redis; beyond, emitters get an error at once"
    )
    publish_timeout: PublishTimeout = Field(
        10, description="Seconds that an event waits for Redis to take it; then its emitter gets an error"
    )
    channel_linger: ChannelLinger = Field(
        15, description="Seconds that a server goes on listening to a room that its last client has left"
    )
    subscription_batch: SubscriptionBatch = Field(
        500, description="Channels that are subscribed to, or unsubscribed from, in one request at most"
    )
    publish_both: PublishBoth = Field(
        0,
        description="1: publish every event to the Redis of the other mode as well, for servers that are in that one; "
        "emitters wait for both, PUBLISH_TIMEOUT each; needs REDIS_CLUSTER_URL, and mode pubsub or sharded",
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
