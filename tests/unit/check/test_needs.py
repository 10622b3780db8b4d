"""Which commands of Redis a server needs: those that its scripts and modules use, and no scratch key for long."""

from __future__ import annotations

import re
from pathlib import Path

import tradecast
from tradecast.check.needs import CONNECTION, SUBSCRIPTIONS, Need, find_lacking, list_needs, write_rule

SOURCES = Path(tradecast.__file__).parent


def test_every_command_of_a_script_is_asked_for() -> None:
    used = set()
    for path in SOURCES.rglob("*.py"):
        used |= set(re.findall(r"redis\.p?call\(\s*'([A-Z]+)'", path.read_text()))
    needs = list_needs(prefix="tradecast:events:0:{0}:", sessions="sess:", sharded=False)
    asked = {str(need.words[0]) for need in needs} | {name.upper() for name in CONNECTION}
    assert len(used) > 20
    assert used - asked == set()


def test_what_is_not_needed_is_not_asked_for() -> None:
    needs = list_needs(prefix="", sessions=None, sharded=False)
    names = {str(need.words[0]) for need in needs}
    assert not names & {"XADD", "PUBLISH", "SPUBLISH"}
    assert all(need.key.startswith("tradecast:") for need in needs)
    sharded = list_needs(prefix="tradecast:events:0:{18}:", sessions=None, sharded=True)
    assert {"SPUBLISH"} == {str(need.words[0]) for need in sharded} & {"PUBLISH", "SPUBLISH"}


def test_keys_that_are_made_are_removed_again() -> None:
    needs = list_needs(prefix="tradecast:events:0:{0}:", sessions="sess:", sharded=False)
    made = {need.key for need in needs if need.words[0] in ("HSET", "XADD", "SET") and "XX" not in need.words}
    assert made == {need.words[1] for need in needs if need.words[0] == "DEL"} - {f"sess:{_mark(needs)}"}


def _mark(needs: list[Need]) -> str:
    return next(need.key.removeprefix("sess:") for need in needs if need.key.startswith("sess:"))


def test_what_is_lacking_is_said_once() -> None:
    xadd, publish = Need("k", ("XADD", "k"), "tradecast:*"), Need("c", ("PUBLISH", "c"), "tradecast:*")
    lacking = find_lacking(
        [
            (xadd, "User u has no permissions to run the 'xadd' command"),
            (xadd, "User u has no permissions to run the 'xadd' command"),
            (xadd, "No permissions to access a key"),
            (Need("s", ("GET", "s"), "sess:*"), "this user has no permissions to access one of the keys used"),
            (publish, "No permissions to access a channel"),
        ]
    )
    assert str(lacking) == "the command XADD and the keys tradecast:*, sess:* and the channel tradecast:*"
    assert not find_lacking([])


def test_the_rule_names_everything() -> None:
    needs = list_needs(prefix="tradecast:events:0:{18}:", sessions="s:", sharded=True)
    rule = write_rule("s:", cluster=True, needs=needs).split()
    assert {"~tradecast:*", "~s:*", "&tradecast:*", "+cluster", "+spublish", "+xadd"} < set(rule)
    assert {f"+{name}" for name in SUBSCRIPTIONS["sharded"]} < set(rule)
    assert "+@all" not in rule
