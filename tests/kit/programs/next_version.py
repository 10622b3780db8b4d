"""`tradecast` as its next version might be: it says more, in every place where this one promises not to mind.

Run it in place of `-m tradecast`. What it says more: keys in envelopes, fields in entries of the history and in
sessions, words on servers' own channels, and beside each event a message of version 2 in the same channel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from tradecast.cli import main
from tradecast.delivery.envelope import Envelope
from tradecast.delivery.redis import recovery_store
from tradecast.delivery.redis.command_sets import PUBSUB
from tradecast.delivery.redis.connections import endpoints as link
from tradecast.delivery.redis.control_channel import ControlChannel
from tradecast.delivery.redis.lua import PUBLISH, SESSION
from tradecast.redis_client.script import Script

MORE = {"n": {"of the next": [1, None, "version"]}, "z": True}


def changed(script: Script, old: str, new: str) -> Script:
    """A script that does something else at one place."""
    assert script.source.count(old) == 1, old
    return Script(script.source.replace(old, new))


def say_more() -> None:
    """Turn this process into one of the next version."""
    encode = Envelope.encode

    def encode_more(self: Envelope, *, again: bool = False) -> bytes:
        line, _, rest = encode(self, again=again).partition(b"\n")
        kind, event, rare = line.split(b"\t")
        return b"%b\t%b\t%b\n%b" % (kind, event, orjson.dumps({**orjson.loads(rare or b"{}"), **MORE}), rest)

    tell = ControlChannel.send_hint

    async def tell_more(self: ControlChannel, server_id: str, text: str) -> None:
        await tell(self, server_id, "rebalance 7 of 9")
        await tell(self, server_id, f"{text} because it came here")

    entries = changed(PUBLISH, "text .. '-0', 'm', body)", "text .. '-0', 'm', body, 'n', 'more')")
    room = "redis.call('PUBLISH', ARGV[4] .. 'r:' .. room, message)"
    events = changed(entries, room, f"redis.call('PUBLISH', ARGV[4] .. 'r:' .. room, '2' .. epoch .. ' new')\n{room}")
    keep = "redis.call('PEXPIRE', KEYS[1], ARGV[3])"
    sessions = changed(SESSION, keep, f"redis.call('HSET', KEYS[1], 'n', 'more', 'next', '2')\n{keep}")
    patches: list[tuple[Any, str, Any]] = [
        (Envelope, "encode", encode_more),
        (ControlChannel, "send_hint", tell_more),
        (link, "PUBSUB", replace(PUBSUB, publish=events)),
        (recovery_store, "SESSION", sessions),
    ]
    for owner, name, value in patches:
        assert hasattr(owner, name)
        setattr(owner, name, value)


if __name__ == "__main__":
    say_more()
    main()
