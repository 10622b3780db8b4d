"""Which commands, keys and channels of Redis a server needs, and the rule that grants them. Pure."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

# What a scratch key lives at most, milliseconds, should it not be removed.
_LIVES: Final = 10_000
OWN: Final = "tradecast:"
# Beside those of `list_needs`, which are asked for on a connection of their own or in another way.
SUBSCRIPTIONS: Final = {"pubsub": ("subscribe", "unsubscribe"), "sharded": ("ssubscribe", "sunsubscribe")}
CONNECTION: Final = ("ping", "info", "evalsha", "eval", "time", "scan")
CLUSTER: Final = ("cluster", "command", "asking")


@dataclass(frozen=True, slots=True)
class Need:
    """A request that does no harm, and shows whether the user may do what a server has to.

    Attributes:
        key: The key, or a channel, whose slot it belongs to.
        words: The command.
        pattern: The keys, or channels, that this one stands for.
    """

    key: str
    words: tuple[Any, ...]
    pattern: str


def list_needs(*, prefix: str, sessions: str | None, sharded: bool) -> list[Need]:
    """What a server asks of Redis, in harmless forms, in order; keys that are made are removed in the end.

    Args:
        prefix: Of the keys and channels of one partition; "": no events pass through this Redis.
        sessions: The prefix of the sessions, where they are in this Redis.
        sharded: Whether it is a Redis Cluster, through which events pass.
    """
    mark = f"check:{secrets.token_hex(8)}"
    needs: list[Need] = []
    words: tuple[Any, ...]
    own = f"{prefix or OWN}{mark}"
    hashed, sorted_, stream, text = (f"{own}:{kind}" for kind in "hzsx")

    def add(key: str, *words: Any, pattern: str = f"{OWN}*") -> None:
        needs.append(Need(key, words, pattern))

    add(text, "SET", text, "1", "PX", _LIVES)
    for name in ("GET", "EXISTS", "PTTL", "TYPE", "MGET"):
        add(text, name, text)
    add(hashed, "HSET", hashed, "f", "1")
    add(hashed, "PEXPIRE", hashed, _LIVES)
    for words in (("HINCRBY", hashed, "n", 1), ("HGET", hashed, "f"), ("HMGET", hashed, "f")):
        add(hashed, *words)
    for words in (("HGETALL", hashed), ("HLEN", hashed), ("HDEL", hashed, "f"), ("PERSIST", hashed), ("DEL", hashed)):
        add(hashed, *words)
    add(sorted_, "ZADD", sorted_, "XX", 1, "m")
    for words in (
        ("ZSCORE", sorted_, "m"),
        ("ZCARD", sorted_),
        ("ZCOUNT", sorted_, "-inf", "+inf"),
        ("ZRANGEBYSCORE", sorted_, 0, 0),
    ):
        add(sorted_, *words)
    for words in (("ZREM", sorted_, "m"), ("ZREMRANGEBYRANK", sorted_, 0, 0), ("ZREMRANGEBYSCORE", sorted_, 0, 0)):
        add(sorted_, *words)
    if prefix:
        add(stream, "XADD", stream, "*", "f", "1")
        for words in (
            ("XRANGE", stream, "-", "+"),
            ("XREVRANGE", stream, "+", "-"),
            ("XINFO", "STREAM", stream),
            ("XDEL", stream, "1-0"),
        ):
            add(stream, *words)
        add(prefix, "SPUBLISH" if sharded else "PUBLISH", f"{own}:c", "", pattern=f"{OWN}*")
    script = "return redis.call('TIME')"
    add(text, "EVAL", script, 1, text)
    add(text, "EVALSHA", "0" * 40, 1, text)
    add(text, "DEL", text)
    add(stream, "DEL", stream)
    for other in (f"{OWN}rate:", f"{OWN}quota:", f"{OWN}{{forwarding}}:", f"{OWN}session:1:", f"{OWN}sessions:1:"):
        key = other + mark
        add(key, "SET", key, "1", "XX", "PX", _LIVES)
        add(key, "GET", key)
    if sessions is not None:
        key = sessions + mark
        for name in ("GET", "MGET", "EXISTS", "PTTL", "DEL"):
            add(key, name, key, pattern=f"{sessions}*")
        add(key, "SET", key, "{}", "XX", "PX", _LIVES, pattern=f"{sessions}*")
    return needs


@dataclass(frozen=True, slots=True)
class Lacking:
    """What a user may not do.

    Attributes:
        commands: Names of commands, in lower case.
        keys: Patterns of keys.
        channels: Patterns of channels.
    """

    commands: Sequence[str] = ()
    keys: Sequence[str] = ()
    channels: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.commands or self.keys or self.channels)

    def __str__(self) -> str:
        parts = [
            f"{what}{'' if len(names) == 1 else 's'} {', '.join(names)}"
            for what, names in (
                ("the command", [name.upper() for name in self.commands]),
                ("the key", self.keys),
                ("the channel", self.channels),
            )
            if names
        ]
        return " and ".join(parts)


_COMMAND: Final = re.compile(r"run the '([^']{1,40})' command")


def find_lacking(refused: Sequence[tuple[Need, str]]) -> Lacking:
    """Find the missing permissions, from the needs and the errors with which Redis refused them."""
    commands: dict[str, None] = {}
    keys: dict[str, None] = {}
    channels: dict[str, None] = {}
    for need, text in refused:
        if "channel" in text:
            channels[need.pattern] = None
        elif (found := _COMMAND.search(text)) is not None:
            commands[found[1].replace("|", " ")] = None
        elif "key" in text:
            keys[need.pattern] = None
        else:
            commands[str(need.words[0]).lower()] = None
    return Lacking(list(commands), list(keys), list(channels))


def write_rule(sessions: str | None, *, cluster: bool, needs: Sequence[Need]) -> str:
    """The whole rule of a user with all that a server needs, for `ACL SETUSER`."""
    names = {str(need.words[0]).lower() for need in needs}
    names |= {*CONNECTION, *SUBSCRIPTIONS["sharded" if cluster else "pubsub"]}
    if cluster:
        names |= set(CLUSTER)
    patterns = [f"~{OWN}*", *([f"~{sessions}*"] if sessions is not None else []), f"&{OWN}*"]
    return " ".join(["ACL SETUSER NAME on '>PASSWORD'", *patterns, *(f"+{name}" for name in sorted(names))])
