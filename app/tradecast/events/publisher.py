"""Where `Publisher` and `SyncPublisher` were documented before they moved to `tradecast.publishing`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tradecast.deprecated import keep_old_names

if not TYPE_CHECKING:  # a type checker would take any name for one of this module
    __getattr__ = keep_old_names(
        __name__,
        {"Publisher": "tradecast.publishing.publisher", "SyncPublisher": "tradecast.publishing.sync_publisher"},
    )
