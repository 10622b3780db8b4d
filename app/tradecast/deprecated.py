"""Names that were documented in another module once: they still work there, and warn.

The lowest layer, so that any module may keep an old name. What is listed with `keep_old_names` goes with the next
major version.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def keep_old_names(module: str, moved: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a module from which names have moved (PEP 562).

    Args:
        module: The old module's `__name__`.
        moved: Name → the module in which it is now.

    Returns:
        A function that imports the name from there with a DeprecationWarning for the caller's line. It raises
        AttributeError for a name that is not in `moved`.
    """

    def find_moved(name: str) -> Any:
        if name not in moved:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(
            f"{module}.{name} has moved: import it from tradecast ({moved[name]})", DeprecationWarning, stacklevel=2
        )
        return getattr(importlib.import_module(moved[name]), name)

    return find_moved
