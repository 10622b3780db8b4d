"""The files that are made of the contract's models: they say the same as the server does, and tools read them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.clients.node_packages import NodeMissing, install
from scripts import event_pages
from tradecast.events.contract import CLIENT_EVENTS, SERVER_EVENTS
from tradecast.events.emit_requests import PAYLOADS
from tradecast.events.handlers import Handlers

ROOT = Path(__file__).parents[2]
TYPESCRIPT = Path(__file__).parent / "typescript"
SCHEMA = json.loads((ROOT / "docs/events.schema.json").read_text())
ASYNCAPI = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())
TYPES = (ROOT / "docs/events.d.ts").read_text()


def references(node: Any) -> Iterator[str]:
    """Every $ref below a node."""
    for one in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from references(one)
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        yield node["$ref"]


def resolve(page: Any, reference: str) -> Any:
    """What a reference of a page leads to."""
    assert reference.startswith("#/")
    for part in reference[2:].split("/"):
        page = page[part.replace("~1", "/").replace("~0", "~")]
    return page


@pytest.mark.parametrize("name", ["docs/events.schema.json", "docs/events.d.ts", "docs/asyncapi.yaml"])
def test_they_are_as_they_would_be_written(name: str) -> None:
    """If this fails, run `make docs`."""
    pages = {
        "docs/events.schema.json": event_pages.schema_page,
        "docs/events.d.ts": event_pages.types_page,
        "docs/asyncapi.yaml": event_pages.asyncapi_page,
    }
    assert (ROOT / name).read_text(encoding="utf-8") == pages[name]()


@pytest.mark.parametrize("page", [SCHEMA, ASYNCAPI], ids=["schema", "asyncapi"])
def test_references_lead_somewhere(page: Any) -> None:
    found = list(references(page))
    assert len(found) > 40
    for reference in found:
        assert resolve(page, reference) is not None


def test_events_are_those_of_the_server() -> None:
    class Nobody:
        pass

    handlers = Handlers(Nobody(), Nobody(), Nobody(), max_symbols=1)  # type: ignore[arg-type]
    assert set(CLIENT_EVENTS) == {route.event for route in handlers.routes()}
    confirmations = {request.confirmation for request in CLIENT_EVENTS.values()}
    assert set(SERVER_EVENTS) == {*PAYLOADS, *confirmations, "error", "watchlist:quote:delta", "watchlist:stale"}
    for event, request in CLIENT_EVENTS.items():
        assert SERVER_EVENTS[request.confirmation] is request.answer, event
    assert set(SCHEMA["$defs"]["ServerToClient"]["properties"]) == set(SERVER_EVENTS)
    assert set(SCHEMA["$defs"]["ClientToServer"]["properties"]) == set(CLIENT_EVENTS)
    assert {one["name"] for one in ASYNCAPI["components"]["messages"].values()} == {*SERVER_EVENTS, *CLIENT_EVENTS}


def test_client_md_names_them_all() -> None:
    text = (ROOT / "docs/client.md").read_text()
    for event in (*PAYLOADS, *CLIENT_EVENTS):
        assert f"`{event}`" in text, event
    for name in ("events.schema.json", "events.d.ts", "asyncapi.yaml"):
        assert f"({name})" in text


def test_every_field_has_a_type_and_a_description() -> None:
    for name in ("Trade", "TradeFailure", "ClosedPosition", "Position", "Portfolio", "Note", "Quote", "Market"):
        schema = SCHEMA["$defs"][name]
        assert "required" not in schema
        assert schema["additionalProperties"] is True
        assert schema["properties"]
        for field, about in schema["properties"].items():
            assert about["description"], field
            assert {"type": "null"} in about["anyOf"], field
        assert re.search(rf"^export interface {name} \{{$", TYPES, re.MULTILINE)


@pytest.mark.node
def test_typescript_s_compiler_takes_them() -> None:
    """With socket.io-client's own types, as a page uses them; what is wrong there has to be an error."""
    try:
        install(TYPESCRIPT)
    except NodeMissing as missing:
        pytest.skip(str(missing))
    compiler = TYPESCRIPT / "node_modules/typescript/bin/tsc"
    done = subprocess.run(
        ["node", str(compiler), "-p", "."], cwd=TYPESCRIPT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout
