"""docs/settings.md, from tradecast's settings."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from tradecast.config.groups.base import Group
from tradecast.config.groups.delivery import DeliverySettings
from tradecast.config.groups.demo import DemoSettings
from tradecast.config.groups.engine import EngineSettings
from tradecast.config.groups.http import HttpSettings
from tradecast.config.groups.lifecycle import AcceptSettings, RolloutSettings
from tradecast.config.groups.limits import LimitSettings
from tradecast.config.groups.listen import ListenSettings
from tradecast.config.groups.mongodb import MongodbSettings
from tradecast.config.groups.observability import ObservabilitySettings
from tradecast.config.groups.redis import RedisSettings
from tradecast.config.groups.sessions import SessionSettings
from tradecast.config.settings import Settings

HEAD = """\
<!-- Written by `make docs` from app/tradecast/config/groups: change it there. -->

# Settings

`tradecast serve` reads its settings from the environment. An empty variable counts as unset, and spaces around a value
are ignored. Lists are separated by commas. An invalid value aborts startup with exit code 2 and an error that names the
variable. Times are in seconds unless the variable's name says otherwise.
"""
SECTIONS: Mapping[str, Sequence[type[Group]]] = {
    "Listening": [ListenSettings],
    "Draining and accepting": [AcceptSettings],
    "Rollouts": [RolloutSettings],
    "Engine.IO": [EngineSettings],
    "Redis and MongoDB": [RedisSettings, DeliverySettings, MongodbSettings],
    "Sessions": [SessionSettings],
    "Limits": [LimitSettings],
    "HTTP": [HttpSettings],
    "Logs and errors": [ObservabilitySettings],
    "Demo": [DemoSettings],
}
WORDS = {str: "text", int: "integer", float: "number", bool: "`true` or `false`", SecretStr: "text, secret"}
BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}


def page() -> str:
    """The page as it should be."""
    parts = [HEAD]
    for title, names in sections():
        parts.append(f"\n## {title}\n\n| variable | type | default | meaning |\n| --- | --- | --- | --- |\n")
        for name in names:
            field = Settings.model_fields[name]
            cells = (f"`{name.upper()}`", kind(field), default(field), field.description or "")
            parts.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n")
    return "".join(parts)


def sections() -> Iterator[tuple[str, list[str]]]:
    """The headings, each with the settings below it."""
    for title, groups in SECTIONS.items():
        yield title, [name for group in groups for name in group.model_fields]


def kind(field: FieldInfo) -> str:
    """The type in words, with its bounds."""
    bounds = [
        f"{word} {figure(getattr(limit, attribute))}"
        for limit in field.metadata
        for attribute, word in BOUNDS.items()
        if getattr(limit, attribute, None) is not None
    ]
    return ", ".join([words(field.annotation), *bounds])


def words(annotation: Any) -> str:
    """A type in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin is tuple:
        return f"list of {words(arguments[0])}"
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not types.NoneType)
        return words(inner)
    return WORDS[annotation]


def default(field: FieldInfo) -> str:
    """The default as one would set it; a dash where there is none."""
    value = field.default
    if value is None or value == ():
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{figure(value) if isinstance(value, float) else value}`"


def figure(value: float) -> str:
    """A number without a needless fraction."""
    return str(int(value)) if value == int(value) else str(value)
