from __future__ import annotations

import pytest

from tradecast.observability.metrics.registry import MetricsRegistry


@pytest.fixture
def registry() -> MetricsRegistry:
    made = MetricsRegistry()
    made.counter("things", "Things").inc()
    return made


def test_formats(registry: MetricsRegistry) -> None:
    content_type, text = registry.render("")
    assert content_type.startswith("text/plain; version=0.0.4")
    assert text.startswith(b"# HELP")
    assert b"_created" not in text
    content_type, text = registry.render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
    for odd in (
        "text/plain; version=x",
        "application/openmetrics-text; version=1.x",
        "text/plain; version=1.0.0; escaping=x",
        ";;,,=",
        "*/*",
    ):
        assert registry.render(odd)[1]


def test_no_two_metrics_have_one_name(registry: MetricsRegistry) -> None:
    with pytest.raises(ValueError, match="Duplicated"):
        registry.tally("things", "Others", "label", ())
