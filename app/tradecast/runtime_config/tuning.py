"""Figures of the adapter that one server can change alone, while it runs; each has the setting's name and bounds."""

from __future__ import annotations

from dataclasses import dataclass

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from tradecast.config.settings import (
    BatchWindow,
    ChannelLinger,
    HistoryEvents,
    PublishBatch,
    PublishBoth,
    PublishBuffer,
    PublishTimeout,
    Settings,
    SubscriptionBatch,
)

# Of what is not known, as much is shown.
MOST_UNKNOWN = 20
LONGEST_NAME = 100


class TuningError(ValueError):
    """A text does not say which figures are meant, or they make no sense; a line for each that is wrong."""


class Tuning(BaseModel):
    """The figures. `Settings` tells each one's meaning, unit and default.

    What servers must agree on is not among them: RECOVERY_WINDOW and the heartbeat say how long all of them keep what
    any of them needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    history_events: HistoryEvents
    publish_batch: PublishBatch
    batch_window_ms: BatchWindow
    publish_buffer: PublishBuffer
    publish_timeout: PublishTimeout
    channel_linger: ChannelLinger
    subscription_batch: SubscriptionBatch
    publish_both: PublishBoth

    @model_validator(mode="after")
    def _make_sense(self) -> Tuning:
        if self.batch_window_ms / 1000 >= self.publish_timeout:
            raise ValueError("batch_window_ms is not below publish_timeout")
        return self


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says.

    Attributes:
        tuning: All figures: those of the text, and the settings' where it does not say any.
        given: Names of those that it says.
        unknown: Names that mean nothing to this version.
    """

    tuning: Tuning
    given: frozenset[str]
    unknown: tuple[str, ...]


def of_settings(settings: Settings) -> Tuning:
    """The figures that the settings say."""
    return Tuning.model_validate({name: getattr(settings, name) for name in Tuning.model_fields})


def read(text: bytes, base: Tuning) -> Reading:
    """What a YAML or JSON text says: one mapping from figures to numbers. An empty one says nothing.

    Raises:
        TuningError: It is no such text, or a figure is out of its bounds. Unknown names are no error: they may be
            the next version's.
    """
    pairs = _pairs(text)
    known = {name: value for name, value in pairs.items() if name in Tuning.model_fields}
    try:
        tuning = Tuning.model_validate({**base.model_dump(), **known})
    except ValidationError as error:
        raise TuningError(_readable(error)) from None
    unknown = sorted(name[:LONGEST_NAME] for name in pairs.keys() - known.keys())
    return Reading(tuning, frozenset(known), tuple(unknown[:MOST_UNKNOWN]))


def _pairs(text: bytes) -> dict[str, str]:
    try:
        # The nodes as they are written: what YAML makes of `yes` or 1:30 is nothing to a figure.
        root = yaml.compose(text.decode("utf-8-sig"), Loader=yaml.BaseLoader)
    except UnicodeDecodeError:
        raise TuningError("is not UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark is not None else ""
        raise TuningError(f"{line}is neither YAML nor JSON: {error.problem}") from None
    except (yaml.YAMLError, RecursionError):
        raise TuningError("is neither YAML nor JSON") from None
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise TuningError("is no mapping from names to numbers")
    pairs: dict[str, str] = {}
    for key, value in root.value:
        if not isinstance(key, yaml.ScalarNode):
            raise TuningError(f"line {key.start_mark.line + 1}: the name of a figure is a word")
        if key.value in pairs:
            raise TuningError(f"{key.value[:LONGEST_NAME]}: is there twice")
        if key.value in Tuning.model_fields and not isinstance(value, yaml.ScalarNode):
            raise TuningError(f"{key.value}: is no number")
        pairs[key.value] = value.value if isinstance(value, yaml.ScalarNode) else ""
    return pairs


def _readable(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        where = ".".join(str(part) for part in problem["loc"][:1])
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {message}" if where else message)
    return "\n".join(lines)
