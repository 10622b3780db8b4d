"""What a release carries: an image that says which version it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


def built() -> dict[str, Any]:
    """The step of the release that builds the image."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    (step,) = [one for one in workflow["jobs"]["release"]["steps"] if "build-push-action" in one.get("uses", "")]
    arguments: dict[str, Any] = step["with"]
    return arguments


def test_the_image_gets_what_its_labels_say() -> None:
    """Without build arguments every released image would say that it is version dev of an unknown commit."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    final = dockerfile.split("\nFROM ")[-1]
    wanted = set(re.findall(r"^ARG (\w+)=", final, re.MULTILINE))
    assert wanted == set(re.findall(r"=\$\{(\w+)\}", final)) == {"VERSION", "REVISION"}
    given = dict(line.split("=", 1) for line in built()["build-args"].splitlines())
    assert given.keys() == wanted
    assert given["REVISION"] == "${{ github.sha }}"
    assert built()["tags"].endswith(":" + given["VERSION"])


def test_the_image_has_a_home_that_any_user_may_write_to() -> None:
    """OpenShift runs it as a user that /etc/passwd does not know, whose home would be / otherwise."""
    final = (ROOT / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")[-1]
    assert re.search(r"^ENV .*\bHOME=/tmp\b", final, re.MULTILINE)
    assert re.search(r"^USER [1-9][0-9]*:", final, re.MULTILINE)
    assert re.search(r"^WORKDIR /tmp$", final, re.MULTILINE)
