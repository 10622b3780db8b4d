"""Names that have moved: they still work at their old place, and warn the caller."""

from __future__ import annotations

import math

import pytest

from tradecast.deprecated import keep_old_names

find_moved = keep_old_names("old.module", {"pi": "math"})


def test_a_name_that_has_moved_is_found_with_a_warning_for_the_caller() -> None:
    with pytest.warns(DeprecationWarning, match=r"^old\.module\.pi has moved: .*\(math\)$") as caught:
        assert find_moved("pi") == math.pi
    assert [warning.filename for warning in caught] == [__file__]


def test_any_other_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'old\.module' has no attribute 'tau'"):
        find_moved("tau")
