"""Comparison of secrets. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import AnyStr


def any_token_matches(given: AnyStr, accepted: Iterable[AnyStr]) -> bool:
    """Whether a token, tag or signature equals one of the accepted ones.

    All of them are compared, each in constant time: the time that it takes reveals neither which one matched nor how
    far a wrong one was right.

    Args:
        given: As it was received. A text has to be ASCII.
        accepted: The right ones; several while keys are rotated. Nothing matches where there are none.
    """
    matches = False
    for token in accepted:
        matches |= hmac.compare_digest(given, token)
    return matches
