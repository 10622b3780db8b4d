"""What Redis answers, and what is not permitted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis.exceptions

from tradecast.causes import (
    Code,
    explain_error,
)
from tradecast.sessions.errors import StoreUnavailable
from unit.causes.errors import HERE, around


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (redis.exceptions.AuthenticationError("Authentication required."), Code.PASSWORD_WANTED),
        (redis.exceptions.NoPermissionError("this user has no permissions to run the 'x' command"), Code.NO_PERMISSION),
        (redis.exceptions.ResponseError("NOPERM this user has no permissions"), Code.NO_PERMISSION),
        (redis.exceptions.ResponseError("ACL failure in script: User x has no permissions"), Code.NO_PERMISSION),
        (redis.exceptions.MovedError("12 10.0.0.2:6379"), Code.IS_CLUSTER),
        (redis.exceptions.ClusterCrossSlotError("Keys in request don't hash to the same slot"), Code.IS_CLUSTER),
        (redis.exceptions.ResponseError("This instance has cluster support disabled"), Code.IS_NO_CLUSTER),
        (redis.exceptions.ClusterDownError("The cluster is down"), Code.CLUSTER_DOWN),
        (redis.exceptions.MasterDownError("Link with MASTER is down"), Code.MASTER_AWAY),
        (redis.exceptions.BusyLoadingError("Redis is loading the dataset in memory"), Code.LOADING),
        (redis.exceptions.ReadOnlyError("You can't write against a read only replica."), Code.READ_ONLY),
        (redis.exceptions.OutOfMemoryError("command not allowed"), Code.OUT_OF_MEMORY),
        (redis.exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"), Code.DISK_TROUBLE),
        (redis.exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), Code.TOO_FEW_REPLICAS),
        (redis.exceptions.ResponseError("BUSY Redis is busy running a script."), Code.BUSY),
        (redis.exceptions.ResponseError("DB index is out of range"), Code.NO_DATABASE),
        (redis.exceptions.ConnectionError("max number of clients reached"), Code.TOO_MANY_CLIENTS),
        (redis.exceptions.ResponseError("-DENIED Redis is running in protected mode"), Code.PROTECTED),
        (redis.exceptions.ResponseError("unknown command 'XADD', with args"), Code.UNKNOWN_COMMAND),
        (redis.exceptions.InvalidResponse('Protocol error, got "H" as reply type byte'), Code.SPEAKS_HTTP),
        (redis.exceptions.InvalidResponse('Protocol error, got "S" as reply type byte'), Code.OTHER_SERVICE),
        (redis.exceptions.ConnectionError("No connection available."), Code.NO_CONNECTION_FREE),
    ],
)
def test_answers_of_redis(error: Exception, code: Code) -> None:
    assert explain_error(error, HERE).code == code
    if code != Code.ERROR:  # of a store that is away, no more is known then
        assert explain_error(around(error, StoreUnavailable("Redis")), HERE).code == code


def test_a_password_that_is_refused_was_given() -> None:
    refused = redis.exceptions.AuthenticationError("invalid username-password pair or user is disabled.")
    assert explain_error(refused, HERE).code == Code.PASSWORD_WANTED
    assert explain_error(refused, replace(HERE, authenticated=True)).code == Code.PASSWORD_WRONG


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("User u has no permissions to run the 'xinfo|stream' command", "the command XINFO STREAM"),
        ("this user has no permissions to access one of the keys used as arguments", "a key that is needed"),
        ("this user has no permissions to access one of the channels used as arguments", "a channel that is needed"),
        ("The user executing the script can't run this command or subcommand", "a command that is needed"),
    ],
)
def test_what_is_not_permitted_is_named(text: str, detail: str) -> None:
    assert explain_error(redis.exceptions.NoPermissionError(text), HERE).detail == detail
