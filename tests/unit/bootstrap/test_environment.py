"""Variables that look like settings, as the log names them."""

from __future__ import annotations

from structlog.testing import capture_logs

from tradecast.bootstrap.environment import MOST_SUSPECTS, warn_of_misspelt


def test_each_is_named_with_what_it_may_mean_and_without_its_value() -> None:
    with capture_logs() as lines:
        warn_of_misspelt({"API_TOKENS": "planted", "PATH": "/bin", "REDIS_URL": "redis://a"})
    (line,) = lines
    assert (line["variable"], line["meant"], line["log_level"]) == ("API_TOKENS", "API_TOKEN", "warning")
    assert "planted" not in str(line)


def test_many_are_a_bounded_number_of_lines() -> None:
    with capture_logs() as lines:
        warn_of_misspelt({f"REDIS_X{number}": "1" for number in range(MOST_SUSPECTS + 5)})
    assert len(lines) == MOST_SUSPECTS + 1
    assert lines[-1]["count"] == 5
