"""All that this project overrides of python-socketio's server; docs/upstream.md lists it name by name.

python-socketio's server makes its engine, and has private methods of its own called for what the engine reports. Here
the engine is made before, and the server above (`gateway.server`) registers at it in place of them.
"""

from __future__ import annotations

import logging
from typing import Any

import socketio

from tradecast.engine.server import EngineServer
from tradecast.packets.rooms import LocalManager
from tradecast.packets.socketio_packet import Packet


class PythonSocketIoServer(socketio.AsyncServer):
    """python-socketio's server over an engine of ours, without its handlers, its packets and its tasks.

    Args:
        engine: What it serves.
        manager: The rooms.

    Attributes:
        eio: The engine.
        manager: As above.
    """

    eio: EngineServer
    manager: LocalManager

    def __init__(self, engine: EngineServer, manager: LocalManager) -> None:
        self._engine = engine
        super().__init__(
            client_manager=manager,
            logger=logging.getLogger("socketio"),  # theirs by name: what they log is scrubbed more thoroughly
            serializer=Packet,
            async_handlers=False,
        )
        self.manager_initialized = True  # there is nothing to initialize

    def _engineio_server_class(self) -> Any:
        def take_engine(**options: Any) -> EngineServer:
            return self._engine

        return take_engine
