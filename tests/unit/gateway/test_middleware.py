"""What whoever runs the server sets for new clients."""

from __future__ import annotations

import pytest

from tradecast.connections.connection import Connection
from tradecast.connections.guards import AuthMiddlewareFactory
from tradecast.gateway.middleware import Middleware


async def step(connection: Connection) -> None:
    raise AssertionError


def test_nothing_is_set_at_first() -> None:
    assert Middleware().is_default


@pytest.mark.parametrize(
    "middleware",
    [Middleware(authenticate=step), Middleware(limit=step), Middleware(welcome=step)],
)
def test_one_step_of_somebody_else_is_enough_for_a_task(middleware: Middleware) -> None:
    assert not middleware.is_default


def test_the_products_own_authentication_may_be_another_one() -> None:
    assert Middleware(sessions=AuthMiddlewareFactory()).is_default
