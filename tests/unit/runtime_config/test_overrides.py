"""Figures from a text: what is taken, and what is refused with which words."""

from __future__ import annotations

import json

import pytest
import yaml

from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.config.settings import Settings, load_settings
from tradecast.runtime_config.overrides import MAX_UNKNOWN, OverridesError, extract_runtime_settings, parse_overrides

BASE = extract_runtime_settings(load_settings({"HISTORY_EVENTS": "77", "PUBLISH_TIMEOUT": "3"}))
ALL = {
    "history_events": 50,
    "publish_batch": 100,
    "batch_window_ms": 2.5,
    "publish_buffer": 500,
    "publish_timeout": 20.0,
    "channel_linger": 0.0,
    "subscription_batch": 5,
    "publish_both": 1,
}


def test_every_figure_is_a_setting_of_that_name_with_the_same_bounds() -> None:
    assert set(RuntimeSettings.model_fields) == set(ALL)
    for name, field in RuntimeSettings.model_fields.items():
        assert field.metadata == Settings.model_fields[name].metadata, name
        assert field.annotation == Settings.model_fields[name].annotation


@pytest.mark.parametrize("write", [yaml.safe_dump, json.dumps])
def test_all_of_them_in_yaml_and_in_json(write: object) -> None:
    assert callable(write)
    reading = parse_overrides(write(ALL).encode(), BASE)
    assert reading.settings == RuntimeSettings(**ALL)
    assert reading.given == set(ALL)
    assert reading.unknown == ()


def test_what_is_not_there_is_as_the_settings_say() -> None:
    reading = parse_overrides(b"# why\nhistory_events: 5  # few\n", BASE)
    assert reading.settings == BASE.model_copy(update={"history_events": 5})
    assert reading.settings.publish_timeout == 3
    assert reading.given == {"history_events"}


@pytest.mark.parametrize("text", [b"", b"\n", b"# nothing\n", b"{}", b"---\n", b"\xef\xbb\xbf"])
def test_nothing_says_nothing(text: bytes) -> None:
    assert parse_overrides(text, BASE).settings == BASE


def test_unknown_names_are_reported_and_do_not_matter() -> None:
    reading = parse_overrides(b"publish_batch: 3\nnext_versions: [1, {a: b}]\nanother:\n", BASE)
    assert reading.settings.publish_batch == 3
    assert reading.unknown == ("another", "next_versions")
    many = "".join(f"{'x' * 500}{n}: 1\n" for n in range(100)).encode()
    assert len(parse_overrides(many, BASE).unknown) == MAX_UNKNOWN
    assert max(map(len, parse_overrides(many, BASE).unknown)) == 100


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"history_events: 0", "history_events: "),
        (b"history_events: 1000001", "history_events: "),
        (b"history_events: 1.5", "history_events: "),
        (b"history_events: true", "history_events: "),
        (b"history_events: planted", "history_events: "),
        (b"history_events:", "history_events: "),
        (b"history_events: [1]", "history_events: is no number"),
        (b"history_events: {a: 1}", "history_events: is no number"),
        (b"publish_timeout: 0", "publish_timeout: "),
        (b"publish_timeout: .inf", "publish_timeout: "),
        (b"publish_timeout: inf", "publish_timeout: "),
        (b"channel_linger: nan", "channel_linger: "),
        (b"channel_linger: -1", "channel_linger: "),
        (b"publish_batch: 1001", "publish_batch: "),
        (b"batch_window_ms: 1001", "batch_window_ms: "),
        (b"subscription_batch: 0", "subscription_batch: "),
        (b"publish_buffer: 0", "publish_buffer: "),
        (b"publish_batch: 1\npublish_batch: 2", "publish_batch: is there twice"),
        (b"publish_timeout: 0.5\nbatch_window_ms: 500", "batch_window_ms is not below publish_timeout"),
        (b"- 1", "is no mapping"),
        (b"12", "is no mapping"),
        (b"[planted]: 1", "line 1: "),
        (b"a: 1\n? [b]\n: 2", "line 2: "),
        (b"a: 1\nb: {", "line 2: is neither YAML nor JSON"),
        (b"publish_batch: *planted2", "is neither YAML nor JSON"),
        (b"a: 1\n---\na: 2", "is neither YAML nor JSON"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"a: \0", "is neither YAML nor JSON"),
        (b"[" * 60_000, "is neither YAML nor JSON"),
        (b"{a: " * 15_000, "is neither YAML nor JSON"),
    ],
)
def test_what_is_invalid_is_refused_whole(text: bytes, told: str) -> None:
    with pytest.raises(OverridesError) as caught:
        parse_overrides(text, BASE)
    assert told in str(caught.value)
    assert "planted" not in str(caught.value).replace("planted2", "")
    assert len(str(caught.value)) < 300


def test_each_wrong_figure_is_named() -> None:
    with pytest.raises(OverridesError) as caught:
        parse_overrides(b"history_events: 0\npublish_batch: 5\npublish_buffer: x", BASE)
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["history_events", "publish_buffer"]


def test_the_settings_refuse_a_window_that_outlasts_the_timeout() -> None:
    with pytest.raises(ValueError, match="BATCH_WINDOW_MS"):
        load_settings({"BATCH_WINDOW_MS": "500", "PUBLISH_TIMEOUT": "0.5"})
