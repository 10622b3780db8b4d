"""docs/architecture.md leads to what is there: its modules, its names, and the packages of its picture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PICTURE = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
PACKAGES = (ROOT / "app" / "tradecast", ROOT / "operator" / "tradecast_operator")
ROWS = re.findall(r"^\| ([^|]+\?) \| `([\w/]+\.py)` \| `(\w+)` \|$", PAGE, re.MULTILINE)
# Modules of one package, in a table of their own.
OF_PACKAGE = {"engine": "## The engine", "delivery": "## Recovery after a lost connection"}


def find(path: str) -> Path | None:
    """A module of the app or the operator, by its path in either."""
    return next((package / path for package in PACKAGES if (package / path).exists()), None)


def section(heading: str) -> str:
    """The text below a heading, to the next one of its level."""
    return PAGE.split(f"\n{heading}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([\w/]+\.py)`", PAGE))))
def test_each_module_named_exists(path: str) -> None:
    assert find(path) is not None


@pytest.mark.parametrize(("question", "path", "name"), ROWS, ids=[row[0] for row in ROWS])
def test_each_answer_is_in_its_module(question: str, path: str, name: str) -> None:
    module = find(path)
    assert module is not None
    assert re.search(rf"^(?:class |(?:async )?def )?{name}\b", module.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(("path", "cls", "method"), re.findall(r"`([\w/]+\.py)`\s+`(\w+)\.(\w+)`", PAGE))
def test_each_method_of_the_walks_is_in_its_class(path: str, cls: str, method: str) -> None:
    module = find(path)
    assert module is not None
    text = module.read_text(encoding="utf-8")
    body = re.split(rf"^class {cls}\b", text, flags=re.MULTILINE)[1]
    assert re.search(
        rf"^    (?:async )?def {method}\b", re.split(r"^class ", body, flags=re.MULTILINE)[0], re.MULTILINE
    )


def test_a_stranger_finds_what_matters() -> None:
    asked = " ".join(question for question, _, _ in ROWS)
    for what in ("frame parsed", "room's members", "written to Redis", "gap repaired", "session looked up"):
        assert what in asked
    for what in ("drain decide whom to close", "polling request go to its owner", "replicas decided"):
        assert what in asked


@pytest.mark.parametrize(("package", "heading"), OF_PACKAGE.items())
def test_each_module_of_a_package_s_table_exists(package: str, heading: str) -> None:
    cells = re.findall(r"^\| ((?:`[\w/]+`(?:, )?)+) \|", section(heading), re.MULTILINE)
    for path in re.findall(r"`([\w/]+)`", " ".join(cells)):
        name = path if path.endswith("/") else f"{path}.py"
        assert (ROOT / "app" / "tradecast" / package / name).exists(), path


def test_the_packages_are_those_that_there_are() -> None:
    table = PAGE.split("| package | purpose |")[1].split("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", " ".join(line.split("|")[1] for line in table.splitlines()[2:])))
    folders = {path.parent.name for path in PACKAGES[0].glob("*/__init__.py")} | {"server"}
    assert folders <= named
    shown = set(re.findall(r">([a-z_]+)</text>", PICTURE))
    assert folders <= shown
    assert named <= folders | {"server", "causes"}
