"""What goes over the wire is what the contract's models say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from kit.clients.node import StockClients
from kit.servers.in_process import RunningServer, settings_for_tests
from protocol.contract import FAST, ask
from tradecast.demo.feed import Feed
from tradecast.events import payloads
from tradecast.events.contract import CLIENT_EVENTS, SERVER_EVENTS, Failure
from tradecast.events.emit_requests import PAYLOADS, InvalidEvents, parse_events
from tradecast.events.payloads import Trade
from tradecast.packets.exact import NotExact

NO_SYMBOL = "\x00"


@pytest.mark.node
async def test_messages_of_a_server_fit_their_models(server: RunningServer, stock_clients: StockClients) -> None:
    session = await server.session("root", is_admin=True)
    client = await stock_clients.connect(server.url, session, **FAST)
    asked: dict[str, tuple[dict[str, Any], ...]] = {
        "subscribe:portfolio": ({},),
        "subscribe:trades": ({},),
        "subscribe:watchlist": ({"symbol": "AAPL"}, {"symbols": ["IBM", NO_SYMBOL]}, {"symbols": [NO_SYMBOL]}, {}),
        "unsubscribe:watchlist": ({"symbol": "AAPL"}, {"symbols": ["IBM", "X"]}),
        "admin:broadcast": ({"event": "x"}, {"event": "error"}),
        "notifications:recent": ({},),
        "session:refresh": ({"sessionID": session["sessionID"]},),
    }
    for event, questions in asked.items():
        for question in questions:
            if question.get("symbols", ["IBM"])[-1] != NO_SYMBOL:
                CLIENT_EVENTS[event].payload.model_validate(question)
            answer = await ask(client, event, question)
            (CLIENT_EVENTS[event].answer if "success" in answer else Failure).model_validate(answer)
    app = server.app
    await app.emit_portfolio_update("root", {"value": 1, "positions": [{"symbol": "A", "quantity": 2}]})
    for emit in (app.emit_trade_executed, app.emit_trade_failed, app.emit_position_closed, app.emit_notification):
        await emit("root", {"id": 1, "more": [1]})
    await ask(client, "subscribe:watchlist", {"symbol": "AAPL"})
    await app.emit_watchlist_quote("AAPL", {"price": "1.50"})
    await app.emit_market_status({"state": "open"})
    await app.emit_market_status("open")
    await client.wait_for("market:status", lambda args: args[0]["status"] == "open")
    for event in ("unsubscribe:portfolio", "unsubscribe:trades"):
        await ask(client, event)
    seen = {name: client.events(name) for name in client.event_names()}
    # These have tests of their own: a client asks for deltas, and symbols have to have a maximum age.
    assert set(seen) == {*SERVER_EVENTS, "x"} - {"watchlist:quote:delta", "watchlist:stale"}
    for event, model in SERVER_EVENTS.items():
        for args in seen.get(event, ()):
            model.model_validate(args[0])


async def test_the_demo_s_payloads_fit() -> None:
    seen: set[str] = set()

    class Emitters:
        def __getattr__(self, name: str) -> Any:
            event = name.removeprefix("emit_").replace("_", ":")
            event = {"notification": "notification"}.get(event, event)

            async def emit(*arguments: Any) -> None:
                *whose, content = arguments
                body: dict[str, Any] = {"event": event, PAYLOADS[event]: content}
                if whose:
                    body["symbol" if event == "watchlist:quote" else "userId"] = whose[0]
                parse_events(body)
                seen.add(event)

            return emit

    feed = Feed(Emitters(), settings_for_tests(demo_tick_seconds=1, demo_day_seconds=20))
    for _ in range(2_000):
        await feed.tick()
        if seen == set(PAYLOADS):
            break
    assert seen == set(PAYLOADS)
    assert not feed._failing


WRONG: list[tuple[str, str, Any]] = [
    ("trade:executed", "price", True),
    ("trade:executed", "price", "12,5"),
    ("trade:executed", "price", {"amount": 1}),
    ("trade:executed", "symbol", 5),
    ("trade:executed", "executedAt", ["2026"]),
    ("trade:failed", "code", 1.5),
    ("position:closed", "quantity", "many"),
    ("portfolio:update", "positions", {"AAPL": 1}),
    ("portfolio:update", "positions", [5]),
    ("portfolio:update", "positions", [{"quantity": "x"}]),
    ("notification", "title", 5),
    ("watchlist:quote", "bid", "NaN"),
    ("watchlist:quote", "volume", False),
    ("market:status", "state", 1),
]


@pytest.mark.parametrize(("event", "field", "value"), WRONG)
def test_a_known_field_of_another_type_is_refused(event: str, field: str, value: Any) -> None:
    whose = {"market:status": {}, "watchlist:quote": {"symbol": "AAPL"}}.get(event, {"userId": "u1"})
    with pytest.raises(InvalidEvents) as caught:
        parse_events({"event": event, **whose, PAYLOADS[event]: {"more": 1, field: value}})
    assert caught.value.problems[0]["at"].startswith(f"{PAYLOADS[event]}.{field}")


@pytest.mark.parametrize("value", [5, 5.5, "5.50", "-0.001", "1e3", None])
def test_what_fits_is_passed_on_unchanged(value: Any) -> None:
    content = {"zeta": [1], "price": value, "symbol": "AAPL", "alpha": {"b": None}, "id": 7}
    (event,) = parse_events({"event": "trade:executed", "userId": "u1", "trade": content})
    assert list(event.trade.items()) == list(content.items())


def test_a_model_says_what_it_was_given_and_no_more() -> None:
    assert Trade(symbol="AAPL", venue="XNAS").model_dump() == {"symbol": "AAPL", "venue": "XNAS"}
    with pytest.raises(ValidationError):
        Trade(price="much")
    assert {name for name in dir(payloads) if isinstance(getattr(payloads, name), type)} >= {"Trade", "Quote", "Market"}


@pytest.mark.node
async def test_an_acknowledgement_that_cannot_be_sent_is_an_error_to_both(stock_clients: StockClients) -> None:
    async with RunningServer(
        settings_for_tests(),
        lambda app: app.register_event_handler("nan", lambda connection, data: {"price": float("nan")}),
    ) as server:
        client = await stock_clients.connect(server.url, await server.session("u1"), **FAST)
        (answer,) = await client.call("nan")
        assert answer["reason"] == "INTERNAL"
        for emit in (server.app.emit, server.app.emit_with_ack):
            with pytest.raises(NotExact, match="price"):
                await asyncio.wait_for(emit("x", {"price": float("inf")}, to="user:u1"), 10)
        with pytest.raises(NotExact, match="price"):
            await server.app.server_side_emit("x", {"price": 2**60})
        with pytest.raises(NotExact, match="price"):
            server.app.registry.of_user("u1")[0].send("x", {"price": 2**60})
        await ask(client, "subscribe:trades", {})
