"""Every cause has words, the same everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import tradecast
from tradecast.causes import (
    MONGODB,
    REDIS,
    SERVER,
    Cause,
    Code,
    Place,
)
from tradecast.causes.catalogue import WORDS

DOCS = Path(tradecast.__file__).parents[2] / "docs" / "check.md"


def test_every_cause_has_words_and_a_remedy_for_every_place() -> None:
    assert set(WORDS) == set(Code)
    for code in Code:
        for service in (REDIS, MONGODB, SERVER):
            for kind in ("single", "cluster", "sentinel"):
                cause = Cause(code, Place(service, "h:1", kind=kind), "the command GET")
                assert "h:1" in cause.sentence
                assert "h:1" not in cause.without_address
                assert cause.remedy
                assert "{" not in cause.sentence + cause.remedy
    fields = {field for words in WORDS.values() for text in words for _, field, _, _ in Formatter().parse(text)}
    assert "at" in fields


def test_check_md_has_every_cause_in_the_same_words() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", DOCS.read_text(), re.MULTILINE))
    assert list(rows) == list(Code)
    for code in Code:
        words = WORDS[code][0].partition("{who}")[2].partition("{")[0].strip(" :")
        assert words in rows[code]
