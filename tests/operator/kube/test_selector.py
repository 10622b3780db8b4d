"""Label selectors in one line, as `kubectl get --selector` takes them."""

from __future__ import annotations

import pytest

from tradecast_operator.kube.selector import format_selector


def test_labels_and_expressions_are_joined() -> None:
    selector = {
        "matchLabels": {"app": "a", "tier": "b"},
        "matchExpressions": [
            {"key": "zone", "operator": "In", "values": ["x", "y"]},
            {"key": "stage", "operator": "NotIn", "values": ["test"]},
            {"key": "owner", "operator": "Exists"},
            {"key": "old", "operator": "DoesNotExist"},
        ],
    }
    assert format_selector(selector) == "app=a,tier=b,zone in (x,y),stage notin (test),owner,!old"


@pytest.mark.parametrize(
    "selector", [{"matchLabels": {"app": "a"}}, {"matchLabels": {"app": "a"}, "matchExpressions": None}]
)
def test_labels_alone_are_enough(selector: dict[str, object]) -> None:
    assert format_selector(selector) == "app=a"


def test_what_kubernetes_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="Near"):
        format_selector({"matchExpressions": [{"key": "a", "operator": "Near"}]})
