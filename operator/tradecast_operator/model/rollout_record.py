"""The record of a failed trial in an annotation of the Deployment: with it, another operator can continue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tradecast_operator.model.answers import parse_json, read_boolean, read_integer, read_name, read_object, read_text
from tradecast_operator.model.observation import Hold

# The annotation.
HOLD: Final = "tradecast.dev/rollout-held"
LONGEST_REASON: Final = 1_000
# The highest value of an int32, as these fields of a Deployment are.
MOST: Final = 2_147_483_647


def format_hold(hold: Hold) -> str:
    """The annotation's value."""
    record = {
        "revision": hold.revision,
        "why": hold.why[:LONGEST_REASON],
        "minReadySeconds": hold.minimum,
        "progressDeadlineSeconds": hold.deadline,
        "connectsFail": hold.useless,
    }
    return json.dumps(record, ensure_ascii=False)


def read_hold(annotations: Mapping[str, Any]) -> Hold | None:
    """The record; None: there is none, or somebody has made it invalid."""
    value = annotations.get(HOLD)
    if not isinstance(value, str):
        return None
    try:
        record = read_object(parse_json(value.encode()))
        deadline = record.get("progressDeadlineSeconds")
        return Hold(
            revision=read_name(record.get("revision")),
            why=read_text(record.get("why"), LONGEST_REASON),
            deadline=None if deadline is None else read_integer(deadline, MOST),
            minimum=read_integer(record.get("minReadySeconds"), MOST),
            useless=read_boolean(record.get("connectsFail", False)),
        )
    except ValueError:
        return None
