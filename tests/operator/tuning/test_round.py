"""What each change has in a round of tuning."""

from __future__ import annotations

from kit.kubernetes.tuned_servers import Servers, told


def test_nothing_changes_without_an_answer_of_every_server() -> None:
    servers = Servers(rate=5_000, silent=["b"])
    assert told(servers.wait(3_600)) == ("Unknown", "ServersSilent")
    servers = Servers(rate=5_000, count=0)
    assert told(servers.wait(3_600)) == ("Unknown", "ServersSilent")
    servers = Servers(rate=5_000, rolling_out=True)
    servers.wait(3_600)
    assert servers.written == []
