"""Variables that look like settings: those that are misspelt, and those that are somebody else's."""

from __future__ import annotations

import os

import pytest

from tradecast.config.misspelt import MOST_CHARACTERS, Suspect, find_misspelt, measure_distance
from tradecast.config.settings import SETTINGS


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("API_TOKENS", "API_TOKEN"),
        ("MAX_CONECTIONS", "MAX_CONNECTIONS"),
        ("SESION_SECRETS", "SESSION_SECRETS"),
        ("SESSION_SECRET", "SESSION_SECRETS"),
        ("REDIS_URI", "REDIS_URL"),
        ("MONGODB_URL", "MONGODB_URI"),
        ("CORS_ORIGINS", "CORS_ORIGIN"),
        ("TRANSPORT", "TRANSPORTS"),
        ("SENTRY_DNS", "SENTRY_DSN"),
        ("KEEPALIVE", "KEEP_ALIVE"),
        ("PING_INTERAVL", "PING_INTERVAL"),
        ("PINGTIMEOUT", "PING_TIMEOUT"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("redis_url", "REDIS_URL"),
        ("Api-Token", "API_TOKEN"),
        ("redis.url", "REDIS_URL"),
        ("TOKEN_ADMIN", "ADMIN_TOKEN"),
        ("CONNECTIONS_MAX", "MAX_CONNECTIONS"),
        ("API_TOKEN_FILE", "API_TOKEN"),
        ("PING_INTERVAL_MS", "PING_INTERVAL"),
        ("MAX_CONNECTIONS_PER_USER_LIMIT", "MAX_CONNECTIONS_PER_USER"),
        ("TRADECAST_REDIS_URL", "REDIS_URL"),
        ("TRADECAST_PORT", "PORT"),
        ("TRADECAST_API_TOKENS", "API_TOKEN"),
        ("SSL_CERTFILES", "SSL_CERTFILE"),
        ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
        ("MONGO_URL", "MONGODB_URI"),
        ("MONGO_DATABASE", "MONGODB_DATABASE"),
        ("STRICT_SETTING", "STRICT_SETTINGS"),
        ("REDIS_HOST", None),
        ("REDIS_PORT", None),
        ("SESSION_COOKIE_LIFETIME", None),
        ("RATE_LIMIT_EVERYTHING", None),
        ("RATE_LIMIT_WINDOW", "RATE_LIMIT_WINDOW_MS"),
        ("MONGODB_HOST", None),
    ],
)
def test_misspelt(name: str, meant: str | None) -> None:
    assert find_misspelt({name: "6379"}, SETTINGS) == [Suspect(name, meant)]


KUBERNETES = {
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    "KUBERNETES_PORT": "tcp://10.96.0.1:443",
    "KUBERNETES_SERVICE_PORT_HTTPS": "443",
    "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
    **{
        f"{service}_{name}": value
        for service in (
            "REDIS",
            "MONGODB",
            "TRADECAST",
            "TRADECAST_ADMIN",
            "SESSION_STORE",
            "API_TOKEN",
            "RATE_LIMIT_X",
        )
        for name, value in {
            "PORT": "tcp://10.0.0.1:80",
            "SERVICE_HOST": "10.0.0.1",
            "SERVICE_PORT": "80",
            "SERVICE_PORT_HTTP": "80",
            "PORT_80_TCP": "tcp://10.0.0.1:80",
            "PORT_80_TCP_ADDR": "10.0.0.1",
            "PORT_80_TCP_PORT": "80",
            "PORT_80_UDP_PROTO": "udp",
        }.items()
    },
    **dict.fromkeys(("POD_IP", "POD_IPS", "POD_NAMESPACE", "HOST_IP", "NODE_NAME", "NODE_IP", "SERVICE_ACCOUNT"), "x"),
}
DOCKER = {"REDIS_NAME": "/app/redis", "REDIS_ENV_REDIS_VERSION": "7", "REDIS_VERSION": "7.2", "REDIS_DOWNLOAD_URL": "x"}
SHELL = dict.fromkeys(
    (
        *(
            "PATH",
            "PWD",
            "OLDPWD",
            "HOME",
            "HOSTNAME",
            "HOSTTYPE",
            "MACHTYPE",
            "OSTYPE",
            "SHELL",
            "SHLVL",
            "TERM",
            "USER",
        ),
        *("LOGNAME", "LANG", "LC_ALL", "TZ", "EDITOR", "PAGER", "DISPLAY", "SESSION_MANAGER", "XDG_SESSION_ID", "MAIL"),
        *(
            "DBUS_SESSION_BUS_ADDRESS",
            "DESKTOP_SESSION",
            "SSH_AUTH_SOCK",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "PORTS",
            "POST",
        ),
        *("http_proxy", "HTTPS_PROXY", "no_proxy", "host", "port", "Port", "recovery", "_", "DEBUG", "VERSION", "MODE"),
        *(
            "PYTHONPATH",
            "PYTHONUNBUFFERED",
            "VIRTUAL_ENV",
            "UVICORN_PORT",
            "WEB_CONCURRENCY",
            "LISTEN_FDS",
            "LISTEN_PID",
        ),
        *("INVOCATION_ID", "JOURNAL_STREAM", "NOTIFY_SOCKET", "WATCHDOG_USEC", "OTEL_SERVICE_NAME", "SENTRY_RELEASE"),
        *("SENTRY_TRACES_SAMPLE_RATE", "AWS_REGION", "AWS_SESSION_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS", "DYNO"),
    ),
    "x",
)
CI = dict.fromkeys(
    (
        *(
            "CI",
            "GITHUB_TOKEN",
            "GITHUB_ACTIONS",
            "GITHUB_RUN_ID",
            "RUNNER_OS",
            "RUNNER_TEMP",
            "GITLAB_CI",
            "CI_JOB_TOKEN",
        ),
        *(
            "CI_API_V4_URL",
            "CI_JOB_TIMEOUT",
            "CI_SERVER_HOST",
            "CI_SERVER_PORT",
            "CI_SERVER_TLS_CA_FILE",
            "BUILD_NUMBER",
        ),
        *(
            "JENKINS_URL",
            "JOB_NAME",
            "NODE_LABELS",
            "WORKSPACE",
            "TRAVIS",
            "CIRCLECI",
            "BUILDKITE",
            "TF_BUILD",
            "DRONE",
        ),
        *("PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER", "TOX_ENV_NAME", "TRADECAST_URL", "TRADECAST_ADMIN_URL"),
    ),
    "x",
)


@pytest.mark.parametrize("environ", [KUBERNETES, DOCKER, SHELL, CI, dict.fromkeys(SETTINGS, "x")])
def test_what_others_set_is_theirs(environ: dict[str, str]) -> None:
    assert find_misspelt(environ, SETTINGS) == []


def test_where_the_tests_run_nothing_is_misspelt() -> None:
    assert find_misspelt({**os.environ}, SETTINGS) == []


def test_names_of_any_kind_are_looked_at_in_order() -> None:
    odd = {"": "", "=C:": "", "1": "", "REDIS_" + "X" * MOST_CHARACTERS: "", "ümlaut": "", "b_redis": ""}
    found = find_misspelt({**odd, "REDIS_B": "", "API_TOKENN": "", "REDIS_A": ""}, SETTINGS)
    assert [suspect.name for suspect in found] == ["API_TOKENN", "REDIS_A", "REDIS_B"]


@pytest.mark.parametrize(
    ("one", "other", "letters"),
    [
        *(("AB", "AB", 0), ("AB", "BA", 1), ("AB", "A", 1), ("AB", "AXB", 1), ("ABCD", "BADC", 2)),
        *(("AB", "XY", 2), ("ABC", "XYZ", 3), ("A", "ABCDE", 3)),
    ],
)
def test_distance_is_reported_up_to_a_bound(one: str, other: str, letters: int) -> None:
    assert measure_distance(one, other, 2) == letters
    assert measure_distance(other, one, 2) == letters
