"""The mode that the Redis settings choose."""

from __future__ import annotations

import pytest

from kit.settings import SECRET, assert_named, complaints
from tradecast.config.settings import load_settings

ONE, CLUSTER, BESIDE = "redis://a", "redis+cluster://a", "rediss+cluster://b"


@pytest.mark.parametrize(
    ("variables", "mode", "modes", "url", "other"),
    [
        ({}, "single", ["single"], "REDIS_URL", None),
        ({"REDIS_URL": ONE}, "pubsub", ["single", "pubsub"], "REDIS_URL", None),
        ({"REDIS_URL": ONE, "ADAPTER_MODE": "single"}, "single", ["single", "pubsub"], "REDIS_URL", None),
        ({"REDIS_URL": CLUSTER}, "sharded", ["single", "sharded"], "REDIS_URL", None),
        ({"REDIS_URL": CLUSTER, "ADAPTER_MODE": " Sharded"}, "sharded", ["single", "sharded"], "REDIS_URL", None),
        *(
            (
                {"REDIS_URL": ONE, "REDIS_CLUSTER_URL": BESIDE, "ADAPTER_MODE": asked},
                mode,
                ["single", "pubsub", "sharded"],
                url,
                other,
            )
            for asked, mode, url, other in (
                ("auto", "pubsub", "REDIS_URL", "sharded"),
                ("pubsub", "pubsub", "REDIS_URL", "sharded"),
                ("sharded", "sharded", "REDIS_CLUSTER_URL", "pubsub"),
                ("single", "single", "REDIS_URL", None),
            )
        ),
    ],
)
def test_the_mode_of_the_adapter(
    variables: dict[str, str], mode: str, modes: list[str], url: str, other: str | None
) -> None:
    settings = load_settings(variables)
    assert (settings.mode, list(settings.modes), settings.adapter_url) == (mode, modes, url)
    assert settings.other_mode == other
    if other is None:
        (line,) = complaints(**variables, PUBLISH_BOTH="1")
        assert line.startswith("PUBLISH_BOTH: needs another Redis")
    else:
        assert load_settings({**variables, "PUBLISH_BOTH": "1"}).publish_both == 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("REDIS_TIMEOUT", value) for value in ("2000", "0")),
        *(
            ("REDIS_URL", value)
            for value in (
                "localhost:6379",
                "http://localhost",
                "redis:localhost",
                SECRET,
                "redis+cluster://",
                "redis+cluster://a:1/0",
                "redis+cluster://a:1,",
                "redis+cluster://a:1?db=1",
                f"redis+cluster://:{SECRET}@",
                "redis+cluster://a:x",
            )
        ),
        ("REDIS_CA_FILE", "/nonexistent/file.pem"),
        ("REDIS_CERT_FILE", "/nonexistent/file.pem"),
        ("REDIS_KEY_FILE", "/nonexistent/file.pem"),
        ("ADAPTER_MODE", "both"),
        *(("REDIS_CLUSTER_URL", value) for value in ("redis://a", "redis+cluster://a/0", SECRET)),
    ],
)
def test_invalid_values_are_named(variable: str, value: str) -> None:
    assert_named(variable, value)
