from __future__ import annotations

import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tradecast.redis_client.errors import is_key_error

SEVEN = " script: 6e0, on @user_script:5."
SIX = "ERR Error running script (call to f_6e0): @user_script:5: "
OF_KEY = [
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "WRONGTYPE Operation against a key holding the wrong kind of value" + SEVEN,
    SIX + "WRONGTYPE Operation against a key holding the wrong kind of value",
    "ERR hash value is not an integer" + SEVEN,
    SIX + "ERR hash value is not an integer",
    "ERR value is not an integer or out of range",
    "ERR value is not a valid float",
    "ERR hash value is not a float",
    "ERR increment or decrement would overflow",
    "ERR increment would produce NaN or Infinity",
    "ERR resulting score is not a number (NaN)",
    "ERR user_script:12: attempt to compare number with nil" + SEVEN,
    "ERR user_script:12: attempt to perform arithmetic on local 'total' (a nil value)" + SEVEN,
    SIX + "user_script:12: attempt to concatenate a nil value",
    "ERR user_script:9: bad argument #2 to 'format' (number expected, got nil)" + SEVEN,
]
OF_SERVER = [
    "LOADING Redis is loading the dataset in memory",
    "READONLY You can't write against a read only replica.",
    "READONLY You can't write against a read only replica." + SEVEN,
    SIX + "-READONLY You can't write against a read only replica.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    SIX + "-OOM command not allowed when used memory > 'maxmemory'.",
    "NOPERM this user has no permissions to run the 'evalsha' command",
    "NOPERM No permissions to access a key",
    "ERR ACL failure in script: No permissions to access a key" + SEVEN,
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "CLUSTERDOWN The cluster is down",
    "CLUSTERDOWN Hash slot not served",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "MISCONF Errors writing to the AOF file: No space left on device" + SEVEN,
    "NOSCRIPT No matching script. Please use EVAL.",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "UNKILLABLE Sorry the script already executed write commands against the dataset.",
    "NOREPLICAS Not enough good replicas to write.",
    "NOAUTH Authentication required.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "MOVED 1234 127.0.0.1:7000",
    "ASK 1234 127.0.0.1:7000",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "EXECABORT Transaction discarded because of previous errors.",
    "ERR max number of clients reached",
    "ERR unknown command 'EVALSHA', with args beginning with: ",
    "ERR wrong number of arguments for 'hget' command",
    "ERR DB index is out of range",
    "ERR This instance has cluster support disabled",
    "ERR Protocol error: invalid bulk length",
    "upstream failure",
    "NEWCODE something that no version of Redis says yet",
]


def parsed(said: str) -> object:
    return BaseParser.parse_error(said)  # type: ignore[no-untyped-call]  # redis-py leaves it so


@pytest.mark.parametrize("said", OF_KEY)
def test_what_lies_under_one_key_is_of_that_key(said: str) -> None:
    assert is_key_error(parsed(said))


@pytest.mark.parametrize("said", OF_SERVER)
def test_what_is_wrong_with_redis_is_of_all_keys(said: str) -> None:
    assert not is_key_error(parsed(said))


@pytest.mark.parametrize(
    "error", [RedisConnectionError("WRONGTYPE"), RedisTimeoutError(), TimeoutError(), OSError(), b"WRONGTYPE", None]
)
def test_what_is_no_answer_is_of_no_key(error: object) -> None:
    assert not is_key_error(error)
