"""Reads metrics as a scraper does."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tradecast.observability.metrics.registry import MetricsRegistry

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def read_samples(text: bytes) -> Samples:
    """All samples of an exposition, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def read_value(registry: MetricsRegistry, name: str, **labels: str) -> float:
    """One sample; `tradecast_` stands before its name."""
    return read_samples(registry.render()[1])[f"tradecast_{name}", frozenset(labels.items())]
