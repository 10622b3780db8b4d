"""The way from a connection to the server: the rooms and events of one namespace."""

from __future__ import annotations

import json

from tradecast.gateway.channel import NamespaceChannel
from unit.gateway.cases import Case


async def test_rooms_of_a_channel_are_those_of_its_namespace(case: Case) -> None:
    client = case.client()
    sid, custom = await client.join(), await client.join("/custom")
    channel, other = NamespaceChannel(case.server, "/custom"), NamespaceChannel(case.server, "/")
    await channel.join(custom, "quotes")
    assert (channel.is_in(custom, "quotes"), other.is_in(custom, "quotes")) == (True, False)
    assert channel.rooms(custom) == {"room", "quotes"}
    assert other.rooms(sid) == {"room"}
    assert "/custom,quotes" in dict(case.manager.room_sizes())
    await channel.leave(custom, "quotes")
    assert not channel.is_in(custom, "quotes")
    assert "/custom,quotes" not in dict(case.manager.room_sizes())


async def test_events_of_a_channel_go_to_its_namespace(case: Case) -> None:
    client = case.client()
    await client.join()
    channel = NamespaceChannel(case.server, "/custom")
    channel.send(await client.join("/custom"), "e", {"a": 1})
    head, content = str(client.got[0]).split(",", 1)
    assert (head, json.loads(content)) == ("2/custom", ["e", {"a": 1}])
