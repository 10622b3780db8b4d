"""Names of keys in Redis that several rooms share."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "tradecast:"
"""What the keys of all servers begin with. Frozen: servers of several versions run side by side."""
