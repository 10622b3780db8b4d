"""Deltas: whoever follows them knows what everybody else knows, and nobody gets one without its base."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.delivery.hub_clients import HubClient, HubHarness, running_hub
from kit.parsing.properties import JSON
from tradecast.client.book import QuoteBook
from tradecast.delivery.envelope import COUNTED
from tradecast.delivery.shaping import delta_chains
from unit.delivery.recording import RecordingBroker

DELTAS = {"deltas": True}
LONG = {"a": "a" * 100}


@pytest.fixture
async def here() -> AsyncIterator[HubHarness]:
    async with running_hub(RecordingBroker()) as made:
        yield made


async def quote(here: HubHarness, number: Any, symbol: str = "A", **more: Any) -> dict[str, Any]:
    payload = {"symbol": symbol, "quote": {"price": number, **LONG}, **more}
    await here.send(f"w:{symbol}", payload, event="quote")
    return payload


def follow(client: HubClient, symbol: str = "A") -> Any:
    """What a client knows after all that it got. Fails at a delta without its base."""
    book = QuoteBook()
    for one in client.wire:
        found = book.take_delta(one.arguments[0]) if one.event == "quote:delta" else book.take_whole(one.arguments[0])
        assert not isinstance(found, str), f"a delta without a base: {one}"
    return book.get(symbol)


def names(client: HubClient) -> list[str]:
    return [one.event for one in client.wire]


async def test_those_who_ask_get_a_whole_one_and_then_what_has_changed(here: HubHarness) -> None:
    plain, wanting = await here.connect("w:A"), await here.connect("w:A", auth=DELTAS)
    sent = [await quote(here, number) for number in range(3)]

    assert names(plain) == ["quote"] * 3
    assert plain.got == sent
    assert names(wanting) == ["quote", "quote:delta", "quote:delta"]
    first = wanting.got[0]["number"]
    assert wanting.got == [
        {**sent[0], "number": first},
        {"symbol": "A", "quote": {"price": 1}, "number": first + 1},
        {"symbol": "A", "quote": {"price": 2}, "number": first + 2},
    ]
    assert follow(wanting) == sent[-1]
    assert here.emitted == [("quote", 2)] * 3
    assert here.wholes == [(1, len(orjson.dumps(["quote", wanting.got[0]])) + 2)]
    assert [recipients for recipients, *_ in here.deltas] == [1, 1]
    assert all(size < replaced for _, size, replaced in here.deltas)


@pytest.mark.parametrize("value", [False, None, 1, "true", {}, [True]])
async def test_only_true_asks(here: HubHarness, value: Any) -> None:
    client = await here.connect("w:A", auth={"deltas": value})
    sent = [await quote(here, number) for number in range(3)]
    assert client.got == sent
    assert len(here.hub.deltas) == 0


async def test_who_joins_later_gets_a_whole_one_first(here: HubHarness) -> None:
    early = await here.connect("w:A", auth=DELTAS)
    await quote(here, 1)
    late = await here.connect("w:A", auth=DELTAS)
    await quote(here, 2)
    sent = await quote(here, 3)
    assert names(early) == ["quote", "quote:delta", "quote:delta"]
    assert names(late) == ["quote", "quote:delta"]
    assert follow(early) == follow(late) == sent
    assert early.got[-1]["number"] == late.got[-1]["number"]


async def test_who_leaves_and_comes_back_gets_a_whole_one_first(here: HubHarness) -> None:
    client = await here.connect("w:A", auth=DELTAS)
    other = await here.connect("w:A", auth=DELTAS)
    await quote(here, 1)
    await here.hub.leave(client.sid, "w:A")
    await here.hub.join(client.sid, "w:A")
    await quote(here, 2)
    assert names(client) == ["quote", "quote"]
    assert names(other) == ["quote", "quote:delta"]


async def test_who_subscribes_again_gets_the_next_one_whole(here: HubHarness) -> None:
    client = await here.connect("w:A", auth=DELTAS)
    await quote(here, 1)
    await here.hub.join(client.sid, "w:A")
    sent = [await quote(here, number) for number in (2, 3)]
    assert names(client) == ["quote", "quote", "quote:delta"]
    assert follow(client) == sent[-1]


async def test_who_did_not_get_one_gets_the_next_one_whole(here: HubHarness) -> None:
    client = await here.connect("w:A", auth=DELTAS)
    await quote(here, 1)
    held = here.hub.clients.by_sid[client.sid]
    here.hub.pause_delivery(client.sid, held)
    await quote(here, 2)
    await quote(here, 3)
    here.hub.resume_delivery(client.sid, held)
    sent = await quote(here, 4)
    assert names(client) == ["quote"] * 3  # of those that came meanwhile, the newest
    assert "number" not in client.got[1]
    assert follow(client) == sent
    sent = await quote(here, 5)
    assert names(client)[-1] == "quote:delta"
    assert follow(client) == sent


async def test_who_is_recovered_gets_a_whole_one_first(here: HubHarness) -> None:
    client = await here.connect("w:A", auth=DELTAS)
    other = await here.connect("w:A", auth=DELTAS)
    await quote(here, 1)
    await here.lose(client)
    back = await here.connect("w:A", auth={**client.auth, **DELTAS})
    assert back.resumed is not None
    sent = await quote(here, 2)
    assert names(back)[-1] == "quote"
    assert follow(back) == follow(other) == sent
    await here.lose(back)
    silent = await here.connect("w:A", auth=back.auth)  # it says no more that it wants deltas
    assert silent.resumed is not None
    for number in (3, 4):
        sent = await quote(here, number)
    assert names(silent)[-2:] == ["quote", "quote"]
    assert silent.got[-1] == sent


@pytest.mark.parametrize(
    "options",
    [
        {"kind": COUNTED},
        {"except_rooms": ["w:B"]},
        {"skip": ["nobody"]},
        {"namespace": "/other"},
    ],
)
async def test_events_that_are_not_for_everybody_in_order_of_their_key_are_whole(
    here: HubHarness, options: dict[str, Any]
) -> None:
    client = await here.connect("w:A", auth=DELTAS)
    await quote(here, 1)
    await here.send("w:A", {"symbol": "A", "price": 2, **LONG}, event="quote", **options)
    sent = await quote(here, 3)
    assert names(client) == ["quote", "quote", "quote:delta"]
    assert "number" not in client.got[1]
    assert follow(client) == sent


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("text",),
        ([1],),
        ({"symbol": "A", **LONG}, 2),
        ({"symbol": "B", **LONG},),
        ({"symbol": 1, **LONG},),
        ({"symbol": "A", "number": 7, **LONG},),
        ({"symbol": "A", "long": "1" * 20, **LONG},),
        ({"symbol": "A", "blob": b"bytes"},),
        ({"symbol": "A", "large": "x" * delta_chains.MAX_SIZE},),
    ],
)
async def test_payloads_that_cannot_be_compared_are_sent_as_they_are(
    here: HubHarness, arguments: tuple[Any, ...]
) -> None:
    client, plain = await here.connect("w:A", auth=DELTAS), await here.connect("w:A")
    await quote(here, 1)
    await here.send("w:A", *arguments, event="quote")
    assert client.wire[-1] == plain.wire[-1]
    assert client.wire[-1].event == "quote"
    await quote(here, 2)
    sent = await quote(here, 3)
    assert follow(client) == sent


async def test_a_null_and_what_is_no_smaller_go_whole(here: HubHarness) -> None:
    client = await here.connect("w:A", auth=DELTAS)
    await quote(here, 1)
    await quote(here, None)
    await here.send("w:A", {"symbol": "A", "a": 1}, event="quote")
    await here.send("w:A", {"symbol": "A", "a": 2}, event="quote")
    assert names(client) == ["quote"] * 4
    numbers = [payload["number"] for payload in client.got]
    assert numbers == list(range(numbers[0], numbers[0] + 4))


async def test_nothing_is_kept_when_nobody_wants_it(here: HubHarness) -> None:
    one, other = await here.connect("w:A", "w:B", auth=DELTAS), await here.connect("w:A", auth=DELTAS)
    plain = await here.connect("w:A")
    chains = here.hub.deltas
    await quote(here, 1)
    await quote(here, 1, "B")
    assert len(chains) == 2
    await here.hub.leave(one.sid, "w:B")  # the room is empty
    assert len(chains) == 1
    await here.hub.leave(one.sid, "w:A")
    await here.hub.leave(other.sid, "w:A")
    await quote(here, 2)  # only one who does not want deltas is left
    assert len(chains) == 0
    await here.hub.join(one.sid, "w:A")
    await quote(here, 3)
    assert len(chains) == 1
    await here.lose(one)
    await here.lose(other)
    assert len(chains) == 0
    assert not chains.clients
    assert [event for event, _ in here.emitted] == ["quote"] * 4
    assert names(plain) == ["quote"] * 3


async def test_the_rooms_of_which_something_is_kept_are_bounded(
    here: HubHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta_chains, "MAX_ROOMS", 2)
    symbols = ["A", "B", "C"]
    client = await here.connect(*(f"w:{symbol}" for symbol in symbols), auth=DELTAS)
    for number in range(2):
        for symbol in symbols:
            await quote(here, number, symbol)
    assert len(here.hub.deltas) == 2
    assert names(client) == ["quote", "quote", "quote", "quote:delta", "quote:delta", "quote"]


async def test_a_namespace_of_one_s_own_has_none(here: HubHarness) -> None:
    client = await here.connect("w:A", auth=DELTAS)
    other = here.hub.clients.by_sid[client.sid]
    same_transport = type(other)(client.eio_sid, other.session, "/other,x", no_recovery=True)
    here.hub.deltas.remove(same_transport)  # gone: it never wanted any
    await quote(here, 1)
    await quote(here, 2)
    assert names(client) == ["quote", "quote:delta"]


ACTIONS = st.sampled_from(["quote", "quote", "quote", "join", "leave", "again", "pause", "resume", "lose", "recover"])


@given(st.lists(st.tuples(ACTIONS, st.integers(0, 2), JSON), min_size=30, max_size=60), st.integers(0, 1000))
async def test_whoever_follows_deltas_knows_what_the_others_know(
    actions: list[tuple[str, int, Any]], seed: int
) -> None:
    made = random.Random(seed)
    async with running_hub(RecordingBroker()) as here:
        plain = await here.connect("w:A")
        clients = [await here.connect("w:A", auth=DELTAS) for _ in range(3)]
        paused: set[str] = set()
        for action, which, value in actions:
            client = clients[which]
            held = here.hub.clients.by_sid.get(client.sid)
            if action == "quote":
                await quote(here, value, more=made.randrange(3), **{made.choice("xyz"): value})
            elif held is None:
                if action == "recover":
                    clients[which] = await here.connect("w:A", auth={**client.auth, **DELTAS})
            elif action == "lose":
                paused.discard(client.sid)
                await here.lose(client)
            elif action == "leave":
                await here.hub.leave(client.sid, "w:A")
            elif action in ("join", "again"):
                await here.hub.join(client.sid, "w:A")
            elif action == "pause" and client.sid not in paused:
                paused.add(client.sid)
                here.hub.pause_delivery(client.sid, held)
            elif action == "resume" and client.sid in paused:
                paused.remove(client.sid)
                here.hub.resume_delivery(client.sid, held)
        for client in clients:
            held = here.hub.clients.by_sid.get(client.sid)
            if client.sid in paused and held is not None:
                here.hub.resume_delivery(client.sid, held)
            if held is not None:
                await here.hub.join(client.sid, "w:A")
        last = await quote(here, "the last")
        assert plain.got[-1] == last
        for client in clients:
            known = follow(client)
            if client.sid in here.hub.clients.by_sid:
                assert known == last
