"""What has changed between two payloads, as a JSON merge patch (RFC 7396, https://www.rfc-editor.org/rfc/rfc7396)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

# Payloads that are nested deeper are sent whole.
MAX_DEPTH: Final = 16


class _Inexpressible(Exception):
    """A merge patch cannot express the change."""


def make_patch(before: Any, after: Any) -> dict[str, Any] | None:
    """Make the merge patch that turns `before` into `after`; None if `after` has to be sent whole.

    Objects are compared field by field, everything else, arrays included, as one value. In a merge patch null deletes
    a field, so there is none for an object that gets a null. Numbers are the same only if they are written alike: 1
    and 1.0 differ, and so do 0.0 and -0.0.

    Args:
        before: Decoded JSON.
        after: Decoded JSON.
    """
    if type(before) is not dict or type(after) is not dict:
        return None
    try:
        return _diff_objects(before, after, MAX_DEPTH)
    except _Inexpressible:
        return None


def apply_patch(before: Any, patch: Any) -> Any:
    """Apply a merge patch. Returns a new value, which shares unchanged parts with both."""
    if not isinstance(patch, Mapping):
        return patch
    after = dict(before) if isinstance(before, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        elif isinstance(value, Mapping):
            after[key] = apply_patch(after.get(key), value)
        else:
            after[key] = value
    return after


def _diff_objects(before: dict[str, Any], after: dict[str, Any], depth: int) -> dict[str, Any]:
    if not depth:
        raise _Inexpressible
    patch: dict[str, Any] = {}
    for key, value in after.items():
        if key in before:
            old = before[key]
            if type(value) is dict and type(old) is dict:
                inner = _diff_objects(old, value, depth - 1)
                if inner:
                    patch[key] = inner
                continue
            if _is_same(old, value, depth):
                continue
        if value is None or (type(value) is dict and _has_null(value, depth)):
            raise _Inexpressible
        patch[key] = value
    for key in before:
        if key not in after:
            patch[key] = None
    return patch


def _has_null(value: dict[str, Any], depth: int) -> bool:
    """Whether a new object has a null, which a merge patch would drop. Nulls in arrays do not matter."""
    if not depth:
        raise _Inexpressible
    return any(one is None or (type(one) is dict and _has_null(one, depth - 1)) for one in value.values())


def _is_same(one: Any, other: Any, depth: int) -> bool:
    kind = type(one)
    if kind is not type(other):
        return False
    if kind is float:
        return bool(one == other) and (one != 0.0 or math.copysign(1.0, one) == math.copysign(1.0, other))
    if kind is list:
        if not depth:
            raise _Inexpressible
        return len(one) == len(other) and all(map(_is_same, one, other, [depth - 1] * len(one)))
    if kind is dict:
        if not depth:
            raise _Inexpressible
        return len(one) == len(other) and all(
            key in other and _is_same(value, other[key], depth - 1) for key, value in one.items()
        )
    return bool(one == other)
