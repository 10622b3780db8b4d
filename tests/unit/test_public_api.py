"""What `import tradecast` promises: its names, where they are, and the old places that still work."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tradecast


def test_every_public_name_can_be_imported_and_is_documented() -> None:
    for name in tradecast.__all__:
        value = getattr(tradecast, name)
        assert name == "__version__" or value.__doc__, name


def test_names_for_type_checkers_are_those_for_the_interpreter() -> None:
    tree = ast.parse(Path(tradecast.__file__).read_text())
    typed = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert typed == tradecast._MODULES
    assert sorted([*typed, "__version__"]) == sorted(tradecast.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Sockets'"):
        _ = tradecast.Sockets


def test_public_names_are_listed_by_dir() -> None:
    assert set(tradecast.__all__) <= set(dir(tradecast))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("tradecast.events.publisher", "Publisher"),
        ("tradecast.events.publisher", "SyncPublisher"),
        ("tradecast.server", "create_process"),
    ],
)
def test_documented_names_work_where_they_were_and_warn(module: str, name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{module}.{name} has moved") as warned:
        value = getattr(importlib.import_module(module), name)
    assert value is getattr(tradecast, name)
    assert warned[0].filename == __file__


def test_importing_the_package_loads_no_server() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, tradecast; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"socketio", "uvicorn", "starlette", "redis", "pydantic", "motor"} & set(loaded)
