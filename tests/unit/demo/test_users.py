from __future__ import annotations

from tradecast.demo.prices import SYMBOLS
from tradecast.demo.users import DEMO_USERS, find_user


def test_there_is_a_user_of_each_tier_and_an_admin() -> None:
    seen = {demo.id: (demo.user.tier, demo.user.is_admin) for demo in DEMO_USERS}

    assert seen == {
        "demo-free": ("free", False),
        "demo-premium": ("premium", False),
        "demo-enterprise": ("enterprise", False),
        "demo-admin": ("enterprise", True),
    }


def test_people_and_accounts_are_made_up_and_differ() -> None:
    assert all(demo.user.email.endswith("@example.com") for demo in DEMO_USERS)
    assert len({demo.user.name for demo in DEMO_USERS}) == len(DEMO_USERS)
    assert len({demo.cash for demo in DEMO_USERS}) == len(DEMO_USERS)
    assert len({tuple(demo.shares.items()) for demo in DEMO_USERS}) == len(DEMO_USERS)
    assert all(set(demo.shares) <= set(SYMBOLS) for demo in DEMO_USERS)


def test_a_user_is_found_by_id() -> None:
    assert find_user("demo-free") is DEMO_USERS[0]
    assert find_user("demo-nobody") is None
