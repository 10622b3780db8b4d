"""python-socketio's server, of which the engine is ours."""

from __future__ import annotations

from tradecast.engine.server import EngineServer
from tradecast.gateway.python_socketio import PythonSocketIoServer
from tradecast.packets.rooms import LocalManager
from tradecast.packets.socketio_packet import Packet
from unit.gateway.cases import Case


def test_it_serves_the_engine_that_it_is_given() -> None:
    engine, manager = EngineServer(), LocalManager()
    server = PythonSocketIoServer(engine, manager)
    assert server.eio is engine
    assert server.manager is manager
    assert server.packet_class is Packet
    assert server.logger.name == "socketio", "what is logged by that name is scrubbed more thoroughly"


async def test_its_own_handlers_are_none_of_the_engines(case: Case) -> None:
    """Else each packet would be handled twice."""
    client = case.client()
    await client.join()
    client.send('21["e"]')
    assert client.got == ["31[]"]
    assert case.server.environ == {}, "theirs keeps each handshake"
