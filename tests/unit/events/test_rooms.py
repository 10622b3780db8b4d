"""Names of rooms, from ids that the server knows."""

from __future__ import annotations

import pytest

from tradecast.events import rooms


@pytest.mark.parametrize("user_id", ["5", 5])
def test_a_users_rooms_are_apart_and_a_number_is_its_text(user_id: str | int) -> None:
    found = [rooms.portfolio(user_id), rooms.trades(user_id), rooms.user(user_id)]
    assert found == ["portfolio:5", "trades:5", "user:5"]
    assert rooms.watchlist("AAPL") == "watchlist:AAPL"


@pytest.mark.parametrize("user_id", [None, True, 5.5, b"5", ["5"]])
def test_what_is_no_id_has_no_room(user_id: object) -> None:
    for name in (rooms.portfolio, rooms.trades, rooms.user):
        with pytest.raises(ValueError, match=r"\S"):
            name(user_id)  # type: ignore[arg-type]  # the test is that it is refused
