"""Why kopf's daemons and timers are not used: docs/decisions/0011-kopf-watches-we-schedule.md."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path
from typing import Any

import kopf
import pytest

ROOT = Path(__file__).parents[2]
# The version that the decision record was written for.
READ = "1.45.2"


def test_the_record_is_about_the_version_that_is_used() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert f"kopf=={READ}" in extras["operator"]
    record = (ROOT / "docs" / "decisions" / "0011-kopf-watches-we-schedule.md").read_text(encoding="utf-8")
    assert f"(kopf {READ})" in record


@pytest.mark.parametrize("decorator", [kopf.daemon, kopf.timer])
def test_a_task_of_a_resource_needs_a_finalizer(decorator: Any) -> None:
    """Once this fails, kopf may carry the rounds of a fleet."""
    registry = kopf.OperatorRegistry()

    async def run(**_: Any) -> None:
        """A task."""

    decorator("tradecast.dev", "v1alpha1", "socketfleets", registry=registry)(run)
    (handler,) = registry._spawning.get_all_handlers()
    assert handler.requires_finalizer
    assert "requires_finalizer" not in inspect.signature(decorator).parameters
