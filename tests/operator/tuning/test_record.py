"""What the operator persists of the adapter."""

from __future__ import annotations

import hashlib

import pytest
import yaml

from tradecast.config.settings import Settings
from tradecast.runtime_config.manager import compute_revision as servers_revision_of
from tradecast.runtime_config.overrides import extract_runtime_settings, parse_overrides
from tradecast_operator.tuning.record import ModeChangeRecord, TuningRecord, compute_revision, render_settings

SETTINGS = extract_runtime_settings(Settings(redis_url="redis://x"))
BYTES = (
    '{"away": 1.5, "base": {"publish_both": 0}, "before": {"publish_batch": 7.5}, '
    '"change": {"before": "pubsub", "began": 2, "key_before": "", "mark": "sharded.2", "mark_before": "", '
    '"since": 4, "step": "roll", "to": "sharded", "why": ""}, '
    '"changed": 5, '
    '"figures": {"publish_both": 1}, "held_until": 9, '
    '"mode": "sharded", "trying": false, "waiting": 3, "why": "why"}'
)


def test_the_content_is_yaml_that_servers_accept_under_the_same_revision() -> None:
    content = render_settings({"publish_batch": 100.0, "batch_window_ms": 2.5, "history_events": 1_000_000})
    assert content == "batch_window_ms: 2.5\nhistory_events: 1000000\npublish_batch: 100\n"
    assert parse_overrides(content.encode(), SETTINGS).settings.publish_batch == 100
    assert (
        compute_revision(content)
        == servers_revision_of(content.encode())
        == hashlib.sha256(content.encode()).hexdigest()[:16]
    )
    assert yaml.safe_load(render_settings({})) == {}


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"figures": 1}', TuningRecord().dump().replace("0", '"x"')])
def test_a_record_that_somebody_has_damaged_is_none(text: str) -> None:
    assert TuningRecord.parse(text) is None


def test_the_record_is_read_as_it_was_written() -> None:
    record = TuningRecord(
        settings={"publish_both": 1},
        previous={"publish_batch": 7.5},
        changed_at=5,
        no_change_before=9,
        rollback_reason="why",
        defaults={"publish_both": 0},
        queued=3,
        isolated_seconds=1.5,
        mode="sharded",
        change=ModeChangeRecord(before="pubsub", to="sharded", step="roll", since=4, began=2, mark="sharded.2"),
    )
    assert TuningRecord.parse(record.dump()) == record
    # Operators of other versions read and write the same annotation.
    assert record.dump() == BYTES
    old = '{"figures":{},"before":{},"changed":1,"trying":false,"held_until":0,"why":"","base":{},"waiting":0,"away":0}'
    read_back = TuningRecord.parse(old)
    assert read_back is not None
    assert (read_back.mode, read_back.change) == ("", None)
    assert TuningRecord.parse(record.dump().replace('"roll"', '"rolled"')) is None
