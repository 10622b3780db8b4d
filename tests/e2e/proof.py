"""What must hold of a crowd of clients whatever the servers went through."""

from __future__ import annotations

from e2e.crowd import Crowd, Report
from e2e.outside import Numbers
from kit.waiting import wait_until


def everybody(crowd: Crowd, within: float = 120) -> Report:
    """Wait until every client is connected and subscribed."""

    def ask() -> Report | None:
        report = crowd.report()
        return report if report.subscribed == len(report.clients) else None

    report: Report = wait_until(ask, within, what="all clients are back")
    return report


def finish(name: str, crowd: Crowd, numbers: Numbers, begun: float) -> Report:
    """Stop publishing, let the last event arrive, print what happened, and check what must always hold."""
    everybody(crowd)
    wait_until(lambda: len(numbers.accepted) > 10, what="enough events")
    numbers.stop()
    accepted = numbers.accepted
    try:
        wait_until(lambda: set(crowd.report().missed(accepted)) == {0}, within=30, what="every event is everywhere")
    finally:
        report = crowd.report()
        print(f"\n{name}: {report.summary(accepted, begun)}")
    assert report.final == 0, "a stock client would not have come back by itself"
    assert report.doubles == 0
    assert report.disorders == 0
    assert report.unrecovered == 0
    assert not set().union(*(client["seqs"] for client in report.clients)) - set(accepted) - numbers.uncertain
    return report
