"""What whoever runs the server sets for new clients."""

from __future__ import annotations

import pytest

from tradecast.connections.connection import Connection
from tradecast.connections.guards import AuthMiddlewareFactory
from tradecast.gateway.middleware import ConnectHandler, ConnectSteps, DefaultMiddleware, Middleware
from unit.connections.connecting import connection


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


async def test_steps_that_are_set_later_replace_the_products_own() -> None:
    taken: list[str] = []

    def make_step(name: str) -> ConnectHandler:
        async def step(connection: Connection) -> None:
            taken.append(name)

        return step

    chosen = Middleware()
    steps = ConnectSteps(chosen, DefaultMiddleware(make_step("our authenticate"), make_step("our limit")))
    client = connection()
    defaults = [steps.is_default]
    await steps.authenticate(client)
    await steps.limit(client)
    chosen.authenticate, chosen.limit, chosen.welcome = (make_step(name) for name in ("auth", "limit", "welcome"))
    defaults.append(steps.is_default)
    await steps.authenticate(client)
    await steps.limit(client)
    assert defaults == [True, False]
    assert taken == ["our authenticate", "our limit", "auth", "limit"]
    assert steps.welcome is chosen.welcome
