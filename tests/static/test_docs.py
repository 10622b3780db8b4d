"""What the documents name exists: the files they link to, and the chart's values."""

import ast
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import tradecast
from scripts import settings_page
from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.config.settings import Settings, load_settings
from tradecast.runtime_config.manager import RuntimeConfig
from tradecast.runtime_config.overrides import extract_runtime_settings
from tradecast.server import WebSocketServer

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_resolve(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not missing


def anchors(document: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = (
        re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", line) for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_anchors_resolve(document: Path) -> None:
    missing = []
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", document.read_text(encoding="utf-8")):
        page = document.parent / target if target else document
        if "://" not in target and page.suffix == ".md" and anchor not in anchors(page):
            missing.append(f"{target}#{anchor}")
    assert not missing


def test_adapter_settings_md_has_every_setting_that_can_change_with_its_bounds_and_default() -> None:
    rows = {}
    for line in (ROOT / "docs/adapter-settings.md").read_text().splitlines():
        if row := re.match(r"\| `(\w+)` \| ([^|]+) \| (`[^|]+`) \| [^|]+ \|$", line):
            rows[row[1]] = (row[2], row[3])
    fields = {name: Settings.model_fields[name] for name in RuntimeSettings.model_fields}
    assert rows == {name: (settings_page.kind(field), settings_page.default(field)) for name, field in fields.items()}


def test_adapter_settings_md_has_what_stats_tell_of_the_adapter() -> None:
    text = (ROOT / "docs/adapter-settings.md").read_text()
    shown = json.loads(re.findall(r"```json\n(.+?)```", text, re.DOTALL)[0])
    server = WebSocketServer(load_settings({}))
    config = RuntimeConfig(
        extract_runtime_settings(server.settings), server.metrics.runtime_config, has_other_mode=False
    )
    told = {"mode", "modes", "other", *config.stats(), "traffic"}
    assert set(shown) == told
    traffic = {*server.metrics.delivery.adapter_traffic(), "waiting", "channels", "hears", "awaySeconds"}
    assert set(shown["traffic"]) == traffic
    for key in (*told - {"traffic"}, *(f"traffic.{one}" for one in traffic)):
        assert re.search(rf"^\|.*`{re.escape(key)}`.*\|", text, re.MULTILINE), key


def test_python_md_has_every_public_name_and_method() -> None:
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    assert set(tradecast.__all__) <= set(re.findall(r"`(\w+)`", text))
    rows = re.findall(r"^\| ([^|]+) \|", text.split("| method of `WebSocketServer` |")[1], re.MULTILINE)
    methods = re.findall(r"`([a-z_]+)[(`]", " ".join(rows))
    assert len(methods) > 20
    assert [name for name in methods if not hasattr(WebSocketServer, name)] == []


def test_values_named_in_kubernetes_md_exist() -> None:
    values: dict[str, Any] = yaml.safe_load((ROOT / "charts/tradecast/values.yaml").read_text())
    text = (ROOT / "docs/kubernetes.md").read_text()
    named = {key for key in re.findall(r"[`\s]([a-z]\w*(?:\.\w+)+)[`=]", text) if key.split(".")[0] in values}
    assert len(named) > 20
    for key in sorted(named):
        node: Any = values
        for part in key.split("."):
            assert isinstance(node, dict), key
            assert part in node, key
            node = node[part]


@cache
def all_strings() -> frozenset[str]:
    """Every string of servers and operator, which their log messages are among."""
    found: set[str] = set()
    for folder in ("app", "operator"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    return frozenset(found)


WRAPPED = [*DOCUMENTS, ROOT / "CONTRIBUTING.md"]


@pytest.mark.parametrize("document", WRAPPED, ids=lambda path: path.name)
def test_lines_are_wrapped(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    # a table's row and a long link or command cannot be wrapped
    free = [line for line in text.splitlines() if not line.startswith("|") and "](" not in line and "`" not in line]
    assert [line for line in free if len(line) > 120] == []


def test_log_lines_that_documents_quote_are_written() -> None:
    for document in DOCUMENTS:
        text = " ".join(document.read_text(encoding="utf-8").split())
        for quoted in re.findall(r"\blog lines? `([^`]+)`", text):
            assert any(quoted in string for string in all_strings()), f"{document.name}: {quoted}"
    assert "log line `" in (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
