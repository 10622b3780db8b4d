"""Bounds of the code's structure, by the script that prints its figures (`make structure`)."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MOST_MODULES = 12
MOST_MODULE_LINES = 450
MOST_CLASS_LINES = 400
MOST_PARAMETERS = 12
WIDE = {
    "app/tradecast/engine/server.py: EngineServer": "python-engineio's own parameters, as its users know them",
    "app/tradecast/delivery/envelope.py: Envelope": "a record like a dataclass, written out as it is made per event",
}
SERVER_LINES = 300
ONE_WORD = {
    # entry points: their names are those of commands, or of what kopf calls
    "tradecast/cli/root.py": {"main"},
    "tradecast_operator/entry.py": {"main"},
    "tradecast_operator/main.py": {"main", "start", "stop"},
    # each name is a kind of room, and is read with its module's: `rooms.user(…)`
    "tradecast/events/rooms.py": {"portfolio", "trades", "user", "watchlist"},
}
"""Module functions that may have one word for a name; commands of click may, too."""
ROOM = '''class Room:
    """Members."""

    def __init__(self, name: str, on_full: Callable[[], None] = lambda: None) -> None:
        self.name = name

    def add_member(self) -> None:  # why
        pass
'''


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("structure", ROOT / "scripts" / "structure.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    return module


structure = load_script()
FOLDERS = {"server": structure.APP, "operator": structure.OPERATOR}


@pytest.fixture(scope="module", params=FOLDERS)
def measured(request: pytest.FixtureRequest) -> Any:
    return structure.measure(FOLDERS[request.param])


def test_no_package_is_too_full(measured: Any) -> None:
    assert {name: count for name, count in measured.folders.items() if count > MOST_MODULES} == {}


def test_no_module_is_too_long(measured: Any) -> None:
    assert max(measured.file_lines) <= MOST_MODULE_LINES


def test_no_class_is_too_long(measured: Any) -> None:
    assert {name: lines for name, lines in measured.class_lines.items() if lines > MOST_CLASS_LINES} == {}


def test_no_default_is_a_lambda_that_does_nothing(measured: Any) -> None:
    assert measured.idle_lambdas == 0


def test_the_public_api_is_short() -> None:
    assert (structure.APP / "server.py").read_text().count("\n") < SERVER_LINES


def test_no_constructor_takes_too_much() -> None:
    """Of classes with behaviour; a dataclass may have as many fields as what it describes."""
    wide = {
        f"{path.relative_to(ROOT)}: {node.name}"
        for folder in FOLDERS.values()
        for path in structure.find_modules(folder)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
        and (structure.find_constructor(node) or 0) > MOST_PARAMETERS
    }
    assert wide == set(WIDE)


@pytest.mark.parametrize("name", FOLDERS)
def test_module_functions_say_verb_and_object(name: str) -> None:
    """A call is read far from the module that has the function: `sign_request(…)`, not `sign(…)`."""
    folder = FOLDERS[name]
    found = {
        f"{path.relative_to(folder.parent)}: {node.name}"
        for path in structure.find_modules(folder)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and "_" not in node.name.strip("_")
        and not node.name.startswith("__")
        and not any(re.search(r"\.(command|group)\(", ast.unparse(decorator)) for decorator in node.decorator_list)
        and node.name not in ONE_WORD.get(str(path.relative_to(folder.parent)), ())
    }
    assert found == set()


@pytest.mark.parametrize("name", FOLDERS)
def test_every_module_has_a_test_of_its_name(name: str) -> None:
    """Or a reason in the script why it needs none."""
    assert structure.find_untested(FOLDERS[name]) == []


def test_modules_without_tests_are_there_and_say_why() -> None:
    for path, why in structure.WITHOUT_TESTS.items():
        assert any((folder / path).is_file() for folder in FOLDERS.values()), path
        assert why


@pytest.mark.parametrize(
    ("source", "idle"),
    [
        ("lambda: None", True),
        ("lambda event, count: None", True),
        ("lambda: 0", True),
        ("lambda: time()", False),
        ("print", False),
    ],
)
def test_lambdas_that_do_nothing_are_recognized(source: str, idle: bool) -> None:
    assert structure.is_idle(ast.parse(source, mode="eval").body) is idle


def test_figures_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "room.py").write_text(ROOM)
    (tmp_path / "__init__.py").write_text("")
    measured = structure.measure(tmp_path)
    assert measured.file_lines == [8]
    assert measured.class_lines == {"room.Room": 8}
    assert measured.constructor_parameters == [2]
    assert (measured.callable_parameters, measured.idle_lambdas, measured.comment_lines) == (1, 1, 1)
    assert measured.names == ["add_member"]
    assert (measured.public, measured.documented) == (2, 1)
    assert measured.folders == {tmp_path.name: 1}


def test_modules_without_a_test_of_their_name(tmp_path: Path) -> None:
    package, tests = tmp_path / "package", tmp_path / "tests"
    for path in (package / "room.py", package / "rooms" / "member.py", package / "rooms" / "guest.py"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    (tests / "unit" / "rooms").mkdir(parents=True)
    (tests / "unit" / "test_room.py").touch()
    (tests / "unit" / "rooms" / "test_member.py").touch()
    assert structure.find_untested(package, tests) == ["rooms/guest.py"]


def test_modules_that_need_no_test_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "words.py").write_text("x = 1\n")
    assert structure.find_untested(tmp_path / "package", tmp_path) == ["words.py"]
    monkeypatch.setitem(structure.WITHOUT_TESTS, "words.py", "constants")
    assert structure.find_untested(tmp_path / "package", tmp_path) == []
