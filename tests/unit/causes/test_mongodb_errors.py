"""What MongoDB and its driver say."""

from __future__ import annotations

import pymongo.errors
import pytest

from tradecast.causes import (
    Code,
    Failed,
    explain_error,
)
from unit.causes.errors import THERE

SELECTION = "{} (configured timeouts: connectTimeoutMS: 2000.0ms), Timeout: 2.0s, Topology Description: <…>"


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
    assert explain_error(error, THERE).code == code
