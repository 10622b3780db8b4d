"""What the text of ADAPTER_FILE overrides: it is parsed and checked here."""

from __future__ import annotations

from dataclasses import dataclass

import yaml
from pydantic import ValidationError

from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.config.settings import Settings

# Unknown names that are reported at most, and characters of each.
MAX_UNKNOWN = 20
MAX_NAME = 100


class OverridesError(ValueError):
    """The text cannot be parsed, or a value in it is invalid; one line for each that is wrong."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a text says.

    Attributes:
        settings: All run-time settings: those of the text, and the base's where the text names none.
        given: Names of those that the text has.
        unknown: Names in the text that this version does not know.
    """

    settings: RuntimeSettings
    given: frozenset[str]
    unknown: tuple[str, ...]


def extract_runtime_settings(settings: Settings) -> RuntimeSettings:
    """The run-time settings as the environment has them."""
    return RuntimeSettings.model_validate({name: getattr(settings, name) for name in RuntimeSettings.model_fields})


def parse_overrides(text: bytes, base: RuntimeSettings) -> Overrides:
    """Parse a YAML or JSON text: one mapping from names to numbers. An empty text overrides nothing.

    Raises:
        OverridesError: It is no such text, or a value is out of its bounds. Unknown names are no error: they may be
            the next version's.
    """
    pairs = _parse_pairs(text)
    known = {name: value for name, value in pairs.items() if name in RuntimeSettings.model_fields}
    try:
        settings = RuntimeSettings.model_validate({**base.model_dump(), **known})
    except ValidationError as error:
        raise OverridesError(_describe_errors(error)) from None
    unknown = sorted(name[:MAX_NAME] for name in pairs.keys() - known.keys())
    return Overrides(settings, frozenset(known), tuple(unknown[:MAX_UNKNOWN]))


def _parse_pairs(text: bytes) -> dict[str, str]:
    try:
        # The nodes as they are written: what YAML makes of `yes` or 1:30 is no number of ours.
        root = yaml.compose(text.decode("utf-8-sig"), Loader=yaml.BaseLoader)
    except UnicodeDecodeError:
        raise OverridesError("is not UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark is not None else ""
        raise OverridesError(f"{line}is neither YAML nor JSON: {error.problem}") from None
    except (yaml.YAMLError, RecursionError):
        raise OverridesError("is neither YAML nor JSON") from None
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise OverridesError("is no mapping from names to numbers")
    pairs: dict[str, str] = {}
    for key, value in root.value:
        if not isinstance(key, yaml.ScalarNode):
            raise OverridesError(f"line {key.start_mark.line + 1}: a name has to be a word")
        if key.value in pairs:
            raise OverridesError(f"{key.value[:MAX_NAME]}: is there twice")
        if key.value in RuntimeSettings.model_fields and not isinstance(value, yaml.ScalarNode):
            raise OverridesError(f"{key.value}: is no number")
        pairs[key.value] = value.value if isinstance(value, yaml.ScalarNode) else ""
    return pairs


def _describe_errors(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_input=False, include_url=False, include_context=False):
        where = ".".join(str(part) for part in problem["loc"][:1])
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{where}: {message}" if where else message)
    return "\n".join(lines)
