"""The console script: names the missing package if the operator's extra is not installed."""

from __future__ import annotations

import sys

# Packages of the extra.
EXTRA = frozenset({"aiohttp", "kopf", "kr8s"})


def main() -> None:
    """Run the operator. Exits with status 1 and a message if a package of its extra is missing."""
    try:
        from tradecast_operator.main import main as run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRA:
            raise
        how = "pip install '.[operator]' in tradecast's folder"
        sys.exit(f"Error: the operator needs its extra ({missing} is missing): {how}")
    run()
