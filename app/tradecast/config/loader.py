"""Reads the settings from the environment, and says what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tradecast.config.errors import SettingsError
from tradecast.config.misspelt import Suspect, find_misspelt
from tradecast.config.model import Settings

SETTINGS = frozenset(name.upper() for name in Settings.model_fields)
"""The variables of all settings."""


def load_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read the settings from the environment.

    Args:
        environ: Taken in place of the process's environment.
        overrides: Settings by their Python name; they win over the environment.

    Raises:
        SettingsError: A value is invalid; all invalid ones are named.
    """
    source = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for name in Settings.model_fields:
        text = source.get(name.upper(), "").strip()  # a secret from a file often ends in a line break
        if text:
            values[name] = text
    values.update(overrides)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_format_errors(error)) from None
    if settings.strict_settings and (misspelt := find_misspelt(source, SETTINGS)):
        raise SettingsError("\n".join(map(_name_suspect, misspelt))) from None
    return settings


def _name_suspect(suspect: Suspect) -> str:
    question = f" Is it {suspect.meant}?" if suspect.meant else ""
    return f"{suspect.name}: there is no such setting.{question} (Without STRICT_SETTINGS it would be ignored.)"


def _format_errors(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        message = problem["msg"].removeprefix("Value error, ")
        where = ".".join(str(part) for part in problem["loc"][:1]).upper()
        lines.append(f"{where}: {message}" if where else message)
    return "\n".join(lines)
