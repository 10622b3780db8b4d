"""How far a load run is, as its observer sees it."""

from __future__ import annotations

import itertools

from integration.load.scripted import Scripted, options
from tradecast.load.progress import Progress
from tradecast.load.run import run_load


class Observer:
    """Remembers the progress."""

    def __init__(self) -> None:
        self.seen: list[Progress] = []

    def on_progress(self, progress: Progress) -> None:
        self.seen.append(progress)


async def test_progress_has_the_phases(scripted: Scripted) -> None:
    observer = Observer()
    await run_load(options(scripted), observer)
    seen = observer.seen
    phases = [phase for phase, _ in itertools.groupby(progress.phase for progress in seen)]
    assert phases == ["connecting", "publishing", "draining", "closing"]
    assert seen[-1].published == 50
    assert seen[-1].started == seen[-1].clients == 4
