"""Types of settings: bounds, and how a value is read from a text."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

DAY = 86_400
MOST_SECONDS = 900
Transport = Literal["websocket", "polling"]
StoreName = Literal["memory", "redis", "mongodb"]
Tier = Literal["free", "premium", "enterprise"]


def check_seconds(seconds: float) -> float:
    """Seconds that cannot be meant as milliseconds."""
    if seconds > MOST_SECONDS:  # Node's options are milliseconds: its PING_INTERVAL=25000 would be seven hours here
        raise ValueError(f"must be in seconds, not in milliseconds, and at most {MOST_SECONDS}")
    return seconds


def check_file(path: str | None) -> str | None:
    """The path of a file that can be read."""
    if path is not None and not os.access(path, os.R_OK):
        raise ValueError("the file does not exist or cannot be read")
    return path


def split_list(value: Any) -> Any:
    """The words of a text: separated by commas, or a JSON list of texts, in which each may have any character."""
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        try:
            words = json.loads(value)
        except ValueError:
            words = None
        if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
            raise ValueError("a value that begins with [ must be a JSON list of strings")
        return tuple(words)
    return tuple(word.strip() for word in value.split(",") if word.strip())


def lower_text(value: Any) -> Any:
    """A word in lower case, without space around it."""
    return value.strip().lower() if isinstance(value, str) else value


def check_distinct(transports: Sequence[Transport]) -> Sequence[Transport]:
    """Transports, none of which is named twice."""
    if len(set(transports)) != len(transports):
        raise ValueError("names a transport twice")
    return transports


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(check_seconds)]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65_535)]
ReadableFile = Annotated[str | None, AfterValidator(check_file)]
Texts = Annotated[tuple[str, ...], BeforeValidator(split_list)]
SecretTexts = Annotated[tuple[SecretStr, ...], BeforeValidator(split_list)]
Transports = Annotated[tuple[Transport, ...], BeforeValidator(split_list), AfterValidator(check_distinct)]
