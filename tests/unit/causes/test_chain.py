"""An error and those around it."""

from __future__ import annotations

from tradecast.causes import (
    Code,
    Failed,
    explain_error,
)
from tradecast.causes.chain import is_named, iterate_chain
from unit.causes.errors import HERE


def test_a_chain_that_is_a_ring_ends() -> None:
    one, two = ValueError(), KeyError()
    one.__context__, two.__cause__ = two, one
    assert explain_error(one, HERE).code == Code.ERROR


def test_a_chain_has_what_caused_an_error_and_what_was_beside_it() -> None:
    cause, context, error = ValueError(), KeyError(), OSError()
    error.__cause__, error.__context__ = cause, context
    context.__context__ = cause
    found = list(iterate_chain(error))
    assert found[0] is error
    assert len(found) == 3
    assert {id(one) for one in found} == {id(one) for one in (error, cause, context)}


def test_an_error_has_the_names_of_its_class_and_of_those_above_it() -> None:
    assert is_named(ConnectionRefusedError(), "ConnectionRefusedError")
    assert is_named(ConnectionRefusedError(), "AutoReconnect", "OSError")
    assert not is_named(ConnectionRefusedError(), "ConnectionResetError")
    assert not is_named(OSError())


def test_an_error_of_our_own_knows_its_code() -> None:
    error = Failed(Code.NOT_SUBSCRIBED)
    assert (error.code, str(error)) == (Code.NOT_SUBSCRIBED, "not_subscribed")
