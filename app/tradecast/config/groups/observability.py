"""Logs and errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr

from tradecast.config.groups.base import Group
from tradecast.config.types import (
    lower_text,
)


def _read_level(value: Any) -> Any:
    level = lower_text(value)
    return "warning" if level == "warn" else level


LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_read_level)]
LogFormat = Annotated[Literal["json", "console"], BeforeValidator(lower_text)]


class ObservabilitySettings(Group):
    """Logs and errors."""

    log_level: LogLevel = Field("info", description="debug, info, warning or error")
    log_format: LogFormat = Field("json", description="json, or console for reading in a terminal")
    sentry_dsn: SecretStr | None = Field(None, description="Report errors to Sentry (needs the extra `sentry`)")
    sentry_environment: str = Field("production", description="Environment that is shown in Sentry")
