"""The words of CONTRIBUTING.md: texts that people read do not use the phrases that the glossary replaces.

Documents, the chart's texts and the dashboards are read whole; of Python sources the strings that are no docstrings, so
log messages, errors and help texts.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PHRASES = (
    r"stock (?:clients?|socket\.io)\b",
    r"\bmakes? no sense\b",
    r"\banew\b",
    r"\btold\b(?! apart)",
    r"\bgo(?:es)? on (?:with|where|then|nevertheless)\b",
    r"\bputs? off\b",
    r"\b(?:takes|taken) back\b",
    r"\b(?:turned|sent|thrown|sends?(?: its| their| the)?(?: clients)?) away\b",
    r"\bby (?:itself|themselves)\b",
    r"\bread back\b",
    r"\bis over\b(?! the)",
    r"\blooks? after\b",
    r"\bin force\b",
    r"\b(?:hears?|hear nobody)\b",
    r"\bmade good\b",
    r"\bhangs? up\b",
    r"\bevened out\b",
    r"\bdeaf\b",
    r"\bwhole numbers?\b",
    r"\b(?:is|be|are) (?:a )?texts?\b",
)
WORDS = re.compile("|".join(PHRASES), re.IGNORECASE)
PUBLIC = {"send_away"}
"""Old names of documented methods."""
DEFINITION = re.compile(r"^ *(?:async )?def (\w+)", re.MULTILINE)
FROZEN = (
    # JSON keys, reasons and labels that programs read
    "`hears`",
    "`traffic.hears`",
    '"hears":',
)
"""Phrases that may stay, each with the words around it."""


def texts() -> Iterator[Path]:
    """Every file that people read as a whole."""
    yield ROOT / "README.md"
    yield ROOT / "SECURITY.md"
    # the list of changed log messages has the old ones
    yield from sorted(path for path in (ROOT / "docs").glob("**/*.md") if path.name != "log-messages.md")
    chart = ROOT / "charts" / "tradecast"
    yield from (
        chart / "README.md",
        chart / "values.yaml",
        chart / "values-production.yaml",
        chart / "files/alerts.yaml",
    )
    yield from sorted((chart / "templates").glob("**/*.*"))
    yield from sorted((chart / "crds").glob("*.yaml"))
    yield from sorted((chart / "files" / "dashboards").glob("*.json"))


def sources() -> Iterator[Path]:
    """Every module whose strings people may meet."""
    for folder in ("app", "operator", "observability"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """The sentences of a module that are no docstrings, with their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and " " in node.value
            and id(node) not in docstrings
        ):
            yield node.lineno, node.value


def function_names() -> Iterator[tuple[str, str]]:
    """Every function of the code, and every test: where it is, and its name as words."""
    for folder in ("app", "operator", "observability", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for name in DEFINITION.findall(path.read_text(encoding="utf-8")):
                if name not in PUBLIC and (folder != "tests" or name.startswith("test_")):
                    yield f"{path.relative_to(ROOT)}: {name}", " ".join(name.split("_"))


def private_words(text: str) -> list[str]:
    """The phrases in a text that the glossary replaces."""
    for frozen in FROZEN:
        text = text.replace(frozen, "")
    return [found[0] for found in WORDS.finditer(" ".join(text.split()))]


@pytest.mark.parametrize(
    "path",
    list(texts()),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_texts_use_the_glossary(path: Path) -> None:
    assert private_words(path.read_text(encoding="utf-8")) == []


def test_messages_use_the_glossary() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}": words
        for path in sources()
        for line, text in strings(path)
        if (words := private_words(text))
    }
    assert found == {}


def test_names_use_the_glossary() -> None:
    found = {where: words for where, name in function_names() if (words := private_words(name))}
    assert found == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Clients begin\n  anew.", ["anew"]),
        ("The emitter is told; nothing makes sense", ["told"]),
        ('{"hears": true}', []),
        ("a stock socket.io client", ["stock socket.io"]),
        ("a stock of clients", []),
        ("pod a was not told; b and c cannot be told apart", ["told"]),
        ("count must be a whole number", ["whole number"]),
    ],
)
def test_phrases_are_found_across_lines(text: str, found: list[str]) -> None:
    assert private_words(text) == found
