"""npm packages that tests run under Node.js, installed as their package-lock.json pins them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

HOW_TO_GET_NODE = "Node.js is not installed: install Node.js 18 or later with npm (Debian: apt-get install nodejs npm)"


class NodeMissing(Exception):
    """Node.js or npm is not there; the text tells how to get it."""


class NodeFailed(Exception):
    """npm failed, the Node process ended, or an operation in it failed."""


def install(folder: Path) -> None:
    """Put what a folder's package-lock.json names into its node_modules, once for all processes that run tests.

    Raises:
        NodeMissing: There is no Node.js or npm.
        NodeFailed: npm failed.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise NodeMissing(HOW_TO_GET_NODE)
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    stamp = folder / "node_modules" / ".stamp"
    # npm ci removes node_modules, so what is locked is the folder above
    with _locked(folder):
        if stamp.exists() and stamp.read_text() == wanted:
            return
        done = subprocess.run(
            [npm, "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode != 0:
            raise NodeFailed(f"npm ci failed in {folder}:\n{done.stderr[-2000:]}")
        stamp.write_text(wanted)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
