"""docs/upstream.md names all that the code uses of libraries' insides, and the versions that it was read from."""

from __future__ import annotations

import re

import pytest

from scripts import upstream

PAGE = upstream.PAGE.read_text(encoding="utf-8")
PROJECT = (upstream.ROOT / "pyproject.toml").read_text(encoding="utf-8")
ROW = "| `uvicorn.server.Server.main_loop` | `async (self)` | overridden | `tradecast.engine.uvicorn.server` |\n"


def test_the_page_is_true() -> None:
    """If this fails after an update: read each name again in the new version; the page says what then."""
    assert upstream.compare(PAGE, PROJECT) == []


@pytest.mark.parametrize("name", ["python-socketio", "redis", "uvicorn"])
def test_another_version_fails(name: str) -> None:
    moved = re.sub(rf'"{name}==([^"]+)"', rf'"{name}==\\1.1"', PROJECT)
    (wrong,) = upstream.compare(PAGE, moved)
    assert wrong.startswith(f"{name}: read from ")


def test_a_name_that_is_used_and_not_listed_fails() -> None:
    assert ROW in PAGE
    (wrong,) = upstream.compare(PAGE.replace(ROW, ""), PROJECT)
    assert wrong == "uvicorn.server.Server.main_loop in tradecast.engine.uvicorn.server: not listed"


def test_another_signature_fails() -> None:
    (wrong,) = upstream.compare(PAGE.replace(ROW, ROW.replace("async (self)", "async (self, every)")), PROJECT)
    assert wrong == "uvicorn.server.Server.main_loop: async (self, every) is async (self) in the installed version"


def test_a_name_that_is_gone_fails() -> None:
    gone = upstream.compare(PAGE + ROW.replace("main_loop", "gone"), PROJECT)
    assert gone == [
        "uvicorn.server.Server.gone: async (self) is None in the installed version",
        "uvicorn.server.Server.gone in tradecast.engine.uvicorn.server: listed, and not used",
    ]


def test_each_library_is_extended_in_few_modules() -> None:
    where: dict[str, set[str]] = {}
    for use in upstream.find_uses():
        where.setdefault(use.package, set()).add(use.where.rpartition(".")[0])
    assert where["uvicorn"] == {"tradecast.engine.uvicorn"}
    assert where["socketio"] <= {"tradecast.gateway", "tradecast.packets"}
    assert where["redis"] <= {"tradecast.redis_client", "tradecast_operator.clients"}
