"""Metrics of the settings that may change at run time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from tradecast.observability.metrics.registry import MetricsRegistry
from tradecast.runtime_config.manager import Outcome


class RuntimeConfigMetrics:
    """The settings in effect, and what became of the contents of ADAPTER_FILE.

    Args:
        registry: Where they are read.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self._settings = registry.gauge("adapter_settings", "Adapter settings in effect", "figure")
        self._file_error = registry.gauge(
            "adapter_settings_error", "1 while ADAPTER_FILE is invalid, and the previous settings are in effect"
        )
        self._file_results = registry.tally(
            "adapter_settings_changes", "Contents of ADAPTER_FILE that were read", "result", get_args(Outcome)
        )

    def adapter_figures(self, figures: Mapping[str, float]) -> None:
        """These settings are in effect from now on."""
        for name, value in figures.items():
            self._settings.labels(name).set(value)

    def adapter_file(self, result: str) -> None:
        """The contents of ADAPTER_FILE were `applied`, or `refused` since they are invalid."""
        self._file_results.count(result)
        self._file_error.set(result == "refused")
