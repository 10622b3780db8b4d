"""What the settings' reader says of invalid values."""

from __future__ import annotations

import pytest

from tradecast.config.settings import SettingsError, load_settings

SECRET = "planted-secret-value"


def complaints(**environ: str) -> list[str]:
    """What is said of these variables, a line each; none of them repeats the secret."""
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    return str(caught.value).splitlines()


def assert_named(variable: str, value: str) -> None:
    """Assert that an invalid value is refused with the variable's name and a reason."""
    (line,) = complaints(**{variable: value})
    names, _, why = line.partition(": ")
    assert variable in names.split(", ")
    assert len(why) > 5
