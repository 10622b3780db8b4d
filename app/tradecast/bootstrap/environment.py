"""What the environment says that is no setting."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from tradecast.config.misspelt import find_misspelt
from tradecast.config.settings import SETTINGS

# Variables that are warned of, each in a line.
MOST_SUSPECTS = 20
log = structlog.stdlib.get_logger("tradecast.server")


def warn_of_misspelt(environ: Mapping[str, str]) -> None:
    """Log the variables of an environment that look like settings and are none."""
    suspects = find_misspelt(environ, SETTINGS)
    for suspect in suspects[:MOST_SUSPECTS]:
        log.warning("this variable is no setting, and is ignored", variable=suspect.name, meant=suspect.meant)
    if len(suspects) > MOST_SUSPECTS:
        log.warning("more variables look like settings and are none", count=len(suspects) - MOST_SUSPECTS)
