"""Write the dashboards that the chart carries; with --check, only say whether they are as they would be written.

`make docs` runs it: `python -m observability.build`, from the repository's root.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.dashboards import fleet, redis, server

FOLDER = Path(__file__).parents[1] / "charts" / "tradecast" / "files" / "dashboards"
DASHBOARDS: dict[str, Callable[[], Dashboard]] = {
    "fleet": fleet.create,
    "server": server.create,
    "redis": redis.create,
}


def render(name: str) -> str:
    """A dashboard as JSON; the same text every time."""
    return json.dumps(DASHBOARDS[name](), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the files, or check them."""
    stale = []
    for name in DASHBOARDS:
        path, text = FOLDER / f"{name}.json", render(name)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.name)
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        sys.stdout.write(f"{', '.join(stale)}: not what the code says, run `make docs`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
