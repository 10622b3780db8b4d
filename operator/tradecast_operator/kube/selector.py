"""Label selectors as text, as requests and scale subresources need them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def format_selector(selector: Mapping[str, Any]) -> str:
    """Format a `metav1.LabelSelector`.

    https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors

    Raises:
        ValueError: The selector has an unknown operator.
    """
    equal = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    return ",".join([*equal, *(_format_expression(one) for one in selector.get("matchExpressions") or [])])


def _format_expression(data: Mapping[str, Any]) -> str:
    key, values = data["key"], ",".join(data.get("values") or [])
    match data["operator"]:
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "Exists":
            return str(key)
        case "DoesNotExist":
            return f"!{key}"
        case other:
            raise ValueError(f"unknown operator of a label selector: {other}")
