"""npm packages of the servers that are measured."""

from __future__ import annotations

from pathlib import Path

from kit.clients import node_packages


def install(folder: Path) -> None:
    """Put what a folder's package-lock.json names into its node_modules, once.

    Raises:
        SystemExit: There is no Node.js or npm, or npm failed.
    """
    if not (folder / "node_modules" / ".stamp").exists():
        print(f"Installing what {folder.name} needs (once) …", flush=True)
    try:
        node_packages.install(folder)
    except (node_packages.NodeMissing, node_packages.NodeFailed) as error:
        raise SystemExit(str(error)) from None
