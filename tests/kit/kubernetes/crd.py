"""The schema of a SocketFleet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

CRD = Path(__file__).parents[3] / "charts/tradecast/crds/socketfleets.yaml"


def schema() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(CRD.read_text())
    found: dict[str, Any] = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return found


def filled_in(node: dict[str, Any]) -> dict[str, Any]:
    """What the API server makes of an empty object."""
    filled = {}
    for name, one in node.get("properties", {}).items():
        if one.get("type") == "object" and one.get("default") == {}:
            filled[name] = filled_in(one)
        elif "default" in one:
            filled[name] = one["default"]
    return filled
