"""The scripts and commands that differ between one Redis and Redis Cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tradecast.delivery.redis.connections.subscription import PUBSUB_COMMANDS, Commands
from tradecast.delivery.redis.lua import PUBLISH, SEND, TICK
from tradecast.redis_client.script import Script


@dataclass(frozen=True, slots=True)
class CommandSet:
    """The scripts and commands of a mode.

    Attributes:
        publish: `PUBLISH` in this mode.
        tick: `TICK` in this mode.
        send: `SEND` in this mode.
        subscription: How channels are subscribed to.
        names_all_keys: Whether scripts get every key that they touch. While a slot moves from node to node, a part of
            its keys is here and a part is there: Redis refuses a script before it begins only if it knows them all.
    """

    publish: Script
    tick: Script
    send: Script
    subscription: Commands
    names_all_keys: bool


def _shard_script(script: Script) -> Script:
    return Script(script.source.replace("'PUBLISH'", "'SPUBLISH'"))


PUBSUB: Final = CommandSet(PUBLISH, TICK, SEND, PUBSUB_COMMANDS, names_all_keys=False)
# https://redis.io/docs/latest/develop/interact/pubsub/#sharded-pubsub: a channel is where its slot is, and is not
# passed on to all nodes.
SHARDED: Final = CommandSet(
    _shard_script(PUBLISH),
    _shard_script(TICK),
    _shard_script(SEND),
    Commands("SSUBSCRIBE", "SUNSUBSCRIBE", b"ssubscribe", b"sunsubscribe", b"smessage"),
    names_all_keys=True,
)
