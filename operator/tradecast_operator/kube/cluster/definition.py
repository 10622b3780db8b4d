"""Updates the CustomResourceDefinition, which all releases of a cluster share.

Helm installs it once and never changes it, so each release's upgrade applies its own. An older chart must not take a
newer one back: fields that other releases use would be pruned from their SocketFleets.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tradecast_operator.kube.client import VERSION, Conflict, Kubernetes, Missing, Object

NAME: Final = "socketfleets.tradecast.dev"
# The annotation with the version of the chart that the definition is from.
CHART_VERSION: Final = "tradecast.dev/chart-version"
# Attempts while somebody else changes it at the same time.
ATTEMPTS: Final = 3
_SEMVER: Final = re.compile(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z.-]{1,100}))?(?:\+.*)?", re.ASCII)
Precedence = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]


class DefinitionRefused(Exception):
    """A definition is not applied; the text says why, and what to do."""


def read_definition(path: Path) -> Object:
    """The definition in a file. Raises DefinitionRefused."""
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionRefused(f"{path} cannot be read ({type(error).__name__})") from None
    except yaml.YAMLError:
        raise DefinitionRefused(f"{path} is not valid YAML") from None
    is_ours = isinstance(body, dict) and body.get("kind") == "CustomResourceDefinition" and _read_name(body) == NAME
    if not is_ours:
        raise DefinitionRefused(
            f"{path} is not the CustomResourceDefinition {NAME}: take charts/tradecast/crds/socketfleets.yaml"
        )
    return dict(body)


async def update_definition(kubernetes: Kubernetes, body: Object, *, force: bool = False) -> str:
    """Apply a definition, unless the cluster has a newer one. Returns a sentence that says what was done.

    Args:
        kubernetes: The API.
        body: The definition.
        force: Whether it replaces a newer one.

    Raises:
        DefinitionRefused: The newer one does not serve this version's SocketFleets.
        Conflict: Somebody else changed it in the same moment, several times.
        httpx.HTTPError: Kubernetes refuses, or does not answer in time.
    """
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(Conflict):
            return await _apply_once(kubernetes, body, force=force)
    return await _apply_once(kubernetes, body, force=force)


async def _apply_once(kubernetes: Kubernetes, body: Object, *, force: bool) -> str:
    found = await _get_definition(kubernetes)
    ours, theirs = _chart_version(body), _chart_version(found)
    if not force and is_newer(theirs, ours):
        if not _serves_version(found, VERSION):
            raise DefinitionRefused(
                f"{NAME} is of chart version {theirs}, which does not serve {VERSION} any more: use that chart"
            )
        return (
            f"{NAME} is of chart version {theirs}, newer than {ours or 'this one'}: it stays as it is, and serves this "
            "version's SocketFleets as well. To replace it nevertheless, add --force"
        )
    metadata = {**body["metadata"]}
    if found:  # whoever has written a newer one meanwhile is not overwritten
        metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
    await kubernetes.apply_definition({**body, "metadata": metadata})
    return f"{NAME} of chart version {ours or 'unknown'} is applied"


def is_newer(one: str, other: str) -> bool:
    """Whether a version is newer than another, by https://semver.org; an invalid version is never newer."""
    first, second = _rank_version(one), _rank_version(other)
    if first is None:
        return False
    return second is None or first > second


async def _get_definition(kubernetes: Kubernetes) -> Object:
    try:
        return await kubernetes.definition(NAME)
    except Missing:
        return {}


def _rank_version(version: str) -> Precedence | None:
    found = _SEMVER.fullmatch(version)
    if found is None:
        return None
    numbers = tuple(map(int, found.group(1, 2, 3)))
    parts = found[4].split(".") if found[4] else []
    before = tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts)
    return numbers, not parts, before


def _chart_version(body: Mapping[str, Any]) -> str:
    annotations = (body.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(CHART_VERSION, ""))


def _read_name(body: Mapping[str, Any]) -> Any:
    metadata = body.get("metadata")
    return metadata.get("name") if isinstance(metadata, dict) else None


def _serves_version(body: Mapping[str, Any], version: str) -> bool:
    versions = (body.get("spec") or {}).get("versions") or []
    return any(one.get("name") == version and one.get("served") for one in versions)
