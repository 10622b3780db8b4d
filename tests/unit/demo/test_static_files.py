"""The page's files: which are served, and what they may hold."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from tradecast.demo.static_files import QUOTES, STATIC, load_static_files

SOCKET_IO_SHA256 = "d5d79a35039e860b32bdef4795528b05c2f788d4b2d9dacc913120e2878f7b3f"


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    page = (STATIC / "index.html").read_text()
    own = page + "".join((STATIC / name).read_text() for name in ("app.js", "chart.js", "format.js", "style.css"))
    own += QUOTES.read_text()

    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", page) == []
    assert set(re.findall(r"(?:https?:)?//[\w.]+\w", re.sub(r"//[^\n/]*$", "", own, flags=re.MULTILINE))) <= {
        "http://www.w3.org"  # the SVG namespace
    }
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", own) == []


def test_the_vendor_file_is_the_unmodified_one_with_its_licence_beside() -> None:
    content = (STATIC / "vendor" / "socket.io.min.js").read_bytes()

    assert hashlib.sha256(content).hexdigest() == SOCKET_IO_SHA256
    assert b"Socket.IO v4.8.4" in content[:200]
    assert "MIT License" in (STATIC / "vendor" / "socket.io.LICENSE").read_text()
    assert SOCKET_IO_SHA256 in (STATIC / "vendor" / "README").read_text()


def test_files_are_chosen_by_their_kind(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    (tmp_path / "b.py").write_text("2")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "d.css").write_text("3")

    assert set(load_static_files(tmp_path)) == {"a.js", "c/d.css", "quotes.mjs"}
