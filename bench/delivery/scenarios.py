"""What is measured: servers, their settings, and what their clients are like."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
SHARE_OF_SLOW = 0.05
# With default heartbeats, as everything else that is not said here: how long events are kept depends on them.
TRADECAST = {
    "HOST": "127.0.0.1",
    "PORT": "0",
    "ADMIN_HOST": "127.0.0.1",
    "ADMIN_PORT": "0",
    "LOG_LEVEL": "info",
    "ACCEPT_RATE": "1000000",
    "ACCEPT_BURST": "1000000",
    "MAX_CONNECTIONS": "20000",
}
OFF: Mapping[str, str] = {"RETAIN_SECONDS": "0"}
# More than are published: every quote passes the throttle, and none is left out.
ON: Mapping[str, str] = {"THROTTLE": "*=20"}
# By default a counted event is kept for 330 seconds, and what is older goes every 10 s.
FILL = 345.0
COMPRESSION: Mapping[str, str] = {"WEBSOCKET_COMPRESSION": "true"}


@dataclass(frozen=True)
class Scenario:
    """One server with one kind of clients.

    Attributes:
        title: For tables and plots.
        peer: Which server.
        slow: The share of clients that are slow.
        deltas: The share that asks for deltas.
        compressed: Whether clients offer compression.
        portfolios: Large portfolios are sent, in place of quotes and trades.
        is_long: Whether it is run over minutes, once.
        fill: Seconds that a long run takes longer, at its start: until the history that recovery needs is as long as it
            gets.
        variables: Settings.
    """

    title: str
    peer: str
    slow: float = 0.0
    deltas: float = 0.0
    compressed: bool = False
    portfolios: bool = False
    is_long: bool = False
    fill: float = 0.0
    variables: Mapping[str, str] = field(default_factory=dict)


NODE, PYTHON, OURS = "Node's Socket.IO", "python-socketio", "tradecast"
SCENARIOS: dict[str, Scenario] = {
    "node": Scenario(f"{NODE}, slow clients", "node", slow=SHARE_OF_SLOW, is_long=True),
    "python_socketio": Scenario(f"{PYTHON}, slow clients", "python_socketio", slow=SHARE_OF_SLOW, is_long=True),
    "tradecast": Scenario(f"{OURS}, slow clients", OURS, slow=SHARE_OF_SLOW, is_long=True, fill=FILL, variables=ON),
    "with slow": Scenario(f"{OURS}, slow clients", OURS, slow=SHARE_OF_SLOW, variables=ON),
    "without slow": Scenario(f"{OURS}, nobody slow", OURS, variables=ON),
    "off": Scenario(f"{OURS}, nobody slow, all off", OURS, variables=OFF),
    "deltas": Scenario(f"{OURS}, half with deltas", OURS, deltas=0.5, variables=ON),
    "all deltas": Scenario(f"{OURS}, all with deltas", OURS, deltas=1.0, variables=ON),
    "portfolios": Scenario(f"{OURS}, 10 KB portfolios", OURS, portfolios=True, variables=ON),
    "compressed": Scenario(
        f"{OURS}, 10 KB portfolios, compressed",
        OURS,
        portfolios=True,
        compressed=True,
        variables={**ON, **COMPRESSION},
    ),
}


def command(peer: str, portfolio: Path, sessions: Path, count: int) -> list[str]:
    """How a server is started."""
    if peer == "node":
        return ["node", str(PEERS / "node" / "server.mjs"), str(portfolio)]
    script = str(PEERS / peer / "server.py")
    return [sys.executable, script, str(portfolio), *([str(sessions), str(count)] if peer == OURS else [])]
