"""From an error to its cause."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tradecast.causes.cause import Cause
from tradecast.causes.chain import Failed, iterate_chain
from tradecast.causes.codes import Code
from tradecast.causes.mongodb_errors import recognize_mongodb
from tradecast.causes.network_errors import is_lost, recognize_name_or_tls, recognize_network
from tradecast.causes.places import REDIS, Place
from tradecast.causes.redis_errors import recognize_redis

_HOST_AND_PORT: Final = r"((?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z._-]{1,253}):\d{1,5})"
_NODE: Final = re.compile(rf"(?:connecting to |reading from |writing to |^|failed: ){_HOST_AND_PORT}(?=[.: ,]|$)", re.M)


def explain_error(error: BaseException, place: Place) -> Cause:
    """What an error means.

    Args:
        error: Of a driver, of Python, or one around such.
        place: What was asked.
    """
    chain = list(iterate_chain(error))
    known = next((found for one in chain if isinstance(found := getattr(one, "cause", None), Cause)), None)
    if known is not None:
        return known
    place = next((found for one in chain if isinstance(found := getattr(one, "place", None), Place)), place)
    texts = "\n".join(str(one) for one in chain)
    code, detail = _recognize_error(chain, texts, place)
    if "," in place.at or place.kind != "single":
        place = replace(place, at=_find_node(texts) or place.at)
    share = next((str(words) for one in chain if (words := getattr(one, "in_words", None))), "")
    return Cause(code, place, detail, share)


def _recognize_error(chain: Sequence[BaseException], texts: str, place: Place) -> tuple[Code, str]:
    """The code, and what it is about."""
    ours = next((one.code for one in chain if isinstance(one, Failed) and one.code != Code.NOT_SUBSCRIBED), None)
    if ours is not None:
        return ours, ""
    if (code := recognize_name_or_tls(chain, texts)) is not None:
        return code, ""
    recognize = recognize_redis if place.service == REDIS else recognize_mongodb
    if (answered := recognize(chain, texts, place)) is not None:
        return answered
    if (code := recognize_network(chain, texts)) is not None:
        return code, ""
    if any(isinstance(one, Failed) for one in chain):
        return Code.NOT_SUBSCRIBED, ""
    return (Code.UNREACHABLE if is_lost(chain) else Code.ERROR), ""


def _find_node(texts: str) -> str:
    """The node that a driver's text names; "": none."""
    found = _NODE.search(texts)
    return found[1] if found else ""
