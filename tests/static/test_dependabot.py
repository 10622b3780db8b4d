"""The bot that proposes updates: it looks into every folder with dependencies, and keeps the fenced packages apart."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


def read_updates(ecosystem: str) -> list[dict[str, Any]]:
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text(encoding="utf-8"))["updates"]
    return [update for update in updates if update["package-ecosystem"] == ecosystem]


def test_every_package_json_is_looked_at() -> None:
    (npm,) = read_updates("npm")
    tracked = subprocess.run(
        ["git", "ls-files", "*package.json"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert sorted(npm["directories"]) == sorted(f"/{Path(path).parent}" for path in tracked)


def test_packages_whose_private_api_is_used_come_apart_from_others() -> None:
    (pip,) = read_updates("pip")
    page = (ROOT / "docs/upstream.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^## ([a-z-]+) [0-9.]+$", page, re.MULTILINE))
    assert listed
    private = set(pip["groups"]["private-api"]["patterns"])
    assert listed <= private
    assert private <= set(pip["groups"]["libraries"]["exclude-patterns"])
