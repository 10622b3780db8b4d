"""The demo."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field, field_validator

from tradecast.config.groups.base import Group
from tradecast.config.types import (
    Positive,
)


class DemoSettings(Group):
    """What the demo replays, and how fast."""

    demo_day_seconds: Positive = Field(20, description="Seconds that the demo takes to replay one trading day")
    demo_tick_seconds: Annotated[float, Field(ge=0.05, le=60)] = Field(
        0.5, description="Seconds between the demo's quotes"
    )
    demo_start: str = Field("2012-05-21", pattern=r"^\d{4}-\d\d-\d\d$", description="First day that the demo replays")

    @field_validator("demo_start")
    @classmethod
    def _check_date(cls, text: str) -> str:
        try:
            date.fromisoformat(text)
        except ValueError:
            raise ValueError("is not a date") from None
        return text
