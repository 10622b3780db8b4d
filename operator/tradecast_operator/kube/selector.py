"""A label selector as requests and scale subresources have it: one line of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def written(selector: Mapping[str, Any]) -> str:
    """A `metav1.LabelSelector` as text.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors

    Raises:
        ValueError: An operator that Kubernetes does not know.
    """
    equal = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    return ",".join([*equal, *(_expression(one) for one in selector.get("matchExpressions") or [])])


def _expression(said: Mapping[str, Any]) -> str:
    key, values = said["key"], ",".join(said.get("values") or [])
    match said["operator"]:
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "Exists":
            return str(key)
        case "DoesNotExist":
            return f"!{key}"
        case other:
            raise ValueError(f"no operator of a label selector: {other}")
