"""The demo's users: who they are, and what they begin with. All of it is made up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tradecast.sessions.models import User

DOLLAR = 100  # cents


@dataclass(frozen=True, slots=True)
class DemoUser:
    """A demo user with the account that trades for them; money in cents.

    Attributes:
        cash: At the start.
        shares: Positions at the start, by symbol.
        means: Lengths of the means, in days, whose crossing makes the account trade.
        order: What one order is worth, about.
        order_limit: No order may be worth more.
        position_limit: No position may be worth more than this share of the account.
        stop_loss: A position is sold when it has lost this share of what it cost.
        take_profit: Half of a position is sold when it has gained this share.
    """

    user: User
    cash: int
    shares: Mapping[str, int]
    means: tuple[int, ...]
    order: int
    order_limit: int
    position_limit: float
    stop_loss: float
    take_profit: float

    @property
    def id(self) -> str:
        return self.user.id


DEMO_USERS: tuple[DemoUser, ...] = (
    DemoUser(
        User("demo-free", "Frida Free", "frida@example.com", tier="free"),
        cash=9_000 * DOLLAR,
        shares={"AAPL": 4, "MSFT": 60, "FB": 25},
        means=(3, 6, 12),
        order=2_600 * DOLLAR,
        order_limit=3_000 * DOLLAR,
        position_limit=0.30,
        stop_loss=0.04,
        take_profit=0.05,
    ),
    DemoUser(
        User("demo-premium", "Petra Premium", "petra@example.com", tier="premium"),
        cash=52_000 * DOLLAR,
        shares={"AAPL": 40, "GOOG": 30, "IBM": 60, "FB": 200},
        means=(3, 7, 12),
        order=21_000 * DOLLAR,
        order_limit=25_000 * DOLLAR,
        position_limit=0.32,
        stop_loss=0.04,
        take_profit=0.05,
    ),
    DemoUser(
        User("demo-enterprise", "Enzo Enterprise", "enzo@example.com", tier="enterprise"),
        cash=1_500_000 * DOLLAR,
        shares={"AAPL": 900, "GOOG": 700, "IBM": 2_000, "MSFT": 9_000, "FB": 6_000},
        means=(3, 5, 10),
        order=560_000 * DOLLAR,
        order_limit=600_000 * DOLLAR,
        position_limit=0.30,
        stop_loss=0.05,
        take_profit=0.06,
    ),
    DemoUser(
        User("demo-admin", "Ada Admin", "ada@example.com", is_admin=True, tier="enterprise"),
        cash=150_000 * DOLLAR,
        shares={"GOOG": 90, "IBM": 250, "MSFT": 1_500},
        means=(3, 6, 10),
        order=52_000 * DOLLAR,
        order_limit=60_000 * DOLLAR,
        position_limit=0.28,
        stop_loss=0.045,
        take_profit=0.05,
    ),
)


def find_user(user_id: str) -> DemoUser | None:
    """The demo user of an id, if there is one."""
    return next((demo for demo in DEMO_USERS if demo.id == user_id), None)
