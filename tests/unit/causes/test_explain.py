"""What an error means: by its class, its text, and what is around it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace

import pymongo.errors
import pytest
import redis.exceptions
from hypothesis import given
from hypothesis import strategies as st

from tradecast.causes import (
    MONGODB,
    REDIS,
    Cause,
    Code,
    Failed,
    Place,
    explain,
)
from tradecast.sessions.errors import StoreUnavailable

HERE = Place(REDIS, "10.0.0.1:6379")


THERE = Place(MONGODB, "10.0.0.1:27017", "MONGODB_URI")


SELECTION = "{} (configured timeouts: connectTimeoutMS: 2000.0ms), Timeout: 2.0s, Topology Description: <…>"


def around(error: Exception, other: Exception | None = None) -> Exception:
    outer = other or redis.exceptions.ConnectionError("lost")
    outer.__cause__ = error
    return outer


def certificate(words: str) -> Exception:
    return around(
        ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {words}")
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TimeoutError(), Code.TIMED_OUT),
        (redis.exceptions.TimeoutError("Timeout reading from 10.0.0.1:6379"), Code.TIMED_OUT),
        (ConnectionRefusedError(), Code.REFUSED),
        (redis.exceptions.ConnectionError("Error 111 connecting to h:1. Connect call failed ('h', 1)."), Code.REFUSED),
        (redis.exceptions.ConnectionError("Connection closed by server."), Code.CLOSED),
        (around(ConnectionResetError(104, "Connection reset by peer")), Code.CLOSED),
        (OSError(113, "No route to host"), Code.UNREACHABLE),
        (around(socket.gaierror(-3, "Temporary failure in name resolution")), Code.UNRESOLVABLE),
        (around(FileNotFoundError(2, "No such file or directory")), Code.NO_SOCKET),
        (around(PermissionError(13, "Permission denied")), Code.SOCKET_FORBIDDEN),
        # the number of an SSLError is no errno: 2 is no missing file
        (around(ssl.SSLError(2, "The operation did not complete")), Code.TLS_FAILED),
        (certificate("certificate has expired (_ssl.c:1006)"), Code.TLS_CERTIFICATE_EXPIRED),
        (certificate("certificate is not yet valid (_ssl.c:1006)"), Code.TLS_CERTIFICATE_NOT_YET_VALID),
        (certificate("self signed certificate (_ssl.c:1006)"), Code.TLS_UNKNOWN_CA),
        (certificate("unable to get local issuer certificate (_ssl.c:1006)"), Code.TLS_UNKNOWN_CA),
        (certificate("IP address mismatch, certificate is not valid for '10.0.0.1'."), Code.TLS_WRONG_NAME),
        (certificate("Hostname mismatch, certificate is not valid for 'h'."), Code.TLS_WRONG_NAME),
        (certificate("certificate revoked (_ssl.c:1006)"), Code.TLS_CERTIFICATE_REFUSED),
        (around(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")), Code.TLS_UNEXPECTED),
        (around(ssl.SSLError(1, "[SSL] tlsv13 alert certificate required")), Code.TLS_CLIENT_CERTIFICATE),
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
        (redis.exceptions.ConnectionError("what nobody knows"), Code.UNREACHABLE),
        (Failed(Code.NOT_SUBSCRIBED), Code.NOT_SUBSCRIBED),
        (around(ConnectionRefusedError(), Failed(Code.NOT_SUBSCRIBED)), Code.REFUSED),
        (redis.exceptions.ResponseError("something new"), Code.ERROR),
        (StoreUnavailable(), Code.UNREACHABLE),
        (KeyError("x"), Code.ERROR),
    ],
)
def test_errors_around_redis(error: Exception, code: Code) -> None:
    assert explain(error, HERE).code == code
    if code != Code.ERROR:  # of a store that is away, no more is known then
        assert explain(around(error, StoreUnavailable("Redis")), HERE).code == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (pymongo.errors.NetworkTimeout("10.0.0.1:27017: timed out"), Code.TIMED_OUT),
        (pymongo.errors.ServerSelectionTimeoutError(SELECTION.format("10.0.0.1:27017: timed out")), Code.TIMED_OUT),
        (
            pymongo.errors.ServerSelectionTimeoutError(SELECTION.format("h:1: [Errno 111] Connection refused")),
            Code.REFUSED,
        ),
        (
            pymongo.errors.ServerSelectionTimeoutError(SELECTION.format("h:1: [Errno -2] Name or service not known")),
            Code.UNRESOLVABLE,
        ),
        (
            pymongo.errors.AutoReconnect("h:1: [SSL: X] certificate verify failed: self-signed certificate"),
            Code.TLS_UNKNOWN_CA,
        ),
        (pymongo.errors.AutoReconnect("h:1: connection closed"), Code.CLOSED),
        (pymongo.errors.OperationFailure("Authentication failed.", 18), Code.PASSWORD_WRONG),
        (pymongo.errors.OperationFailure("bad auth : authentication failed", 8000), Code.PASSWORD_WRONG),
        (pymongo.errors.OperationFailure("command find requires authentication", 13), Code.PASSWORD_WANTED),
        (
            pymongo.errors.OperationFailure("not authorized to execute command { find: 1}", 13),
            Code.NO_PERMISSION,
        ),
        (pymongo.errors.NotPrimaryError("not primary"), Code.NO_PRIMARY),
        (pymongo.errors.OperationFailure("node is recovering", 13436), Code.NO_PRIMARY),
        (pymongo.errors.ServerSelectionTimeoutError("No replica set members found yet"), Code.NO_PRIMARY),
        (pymongo.errors.ConfigurationError("Server at h:1 reports wire version 4, but"), Code.UNSUPPORTED_VERSION),
        (Failed(Code.OTHER_REPLICA_SET), Code.OTHER_REPLICA_SET),
        (pymongo.errors.OperationFailure("something new", 4711), Code.ERROR),
    ],
)
def test_errors_around_mongodb(error: Exception, code: Code) -> None:
    assert explain(error, THERE).code == code


def test_a_password_that_is_refused_was_given() -> None:
    refused = redis.exceptions.AuthenticationError("invalid username-password pair or user is disabled.")
    assert explain(refused, HERE).code == Code.PASSWORD_WANTED
    assert explain(refused, replace(HERE, authenticated=True)).code == Code.PASSWORD_WRONG


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
    assert explain(redis.exceptions.NoPermissionError(text), HERE).detail == detail


def test_of_several_nodes_the_one_that_failed_is_named() -> None:
    cluster = replace(HERE, at="a:1,b:2", kind="cluster")
    assert explain(redis.exceptions.ConnectionError("Error 111 connecting to b:2. Refused"), cluster).place.at == "b:2"
    assert explain(TimeoutError(), cluster).place.at == "a:1,b:2"
    members = replace(THERE, at="a:1,b:2")
    assert explain(pymongo.errors.AutoReconnect("b:2: [Errno 111] Connection refused"), members).place.at == "b:2"


def test_whoever_knows_more_is_believed() -> None:
    known = Cause(Code.LOADING, HERE)
    assert explain(around(StoreUnavailable("x", cause=known)), THERE) is known
    marked = TimeoutError()
    marked.__dict__["place"] = THERE
    assert explain(around(marked), HERE).place is THERE
    away = TimeoutError()
    away.__dict__["in_words"] = "1 of 3 masters away"
    assert explain(away, HERE).sentence == "1 of 3 masters away: Redis at 10.0.0.1:6379 does not answer in time"


KINDS: list[type[Exception]] = [
    *(redis.exceptions.ConnectionError, redis.exceptions.ResponseError, redis.exceptions.NoPermissionError),
    *(pymongo.errors.OperationFailure, pymongo.errors.AutoReconnect, OSError, ValueError),
]


@given(st.sampled_from(KINDS), st.text(), st.text(), st.sampled_from([HERE, THERE, replace(HERE, at="a:1,b:2")]))
def test_nothing_that_a_driver_says_comes_through(kind: type[Exception], left: str, right: str, place: Place) -> None:
    planted = "planted-pa55word"
    cause = explain(around(kind(f"{left}://ann:{planted}@{right}")), place)
    assert planted not in cause.sentence + cause.remedy + cause.without_address
    assert "\n" not in cause.sentence


def test_a_chain_that_is_a_ring_ends() -> None:
    one, two = ValueError(), KeyError()
    one.__context__, two.__cause__ = two, one
    assert explain(one, HERE).code == Code.ERROR
