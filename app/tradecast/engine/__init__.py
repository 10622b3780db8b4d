"""Engine.IO v4: frames, transports, heartbeats. Knows nothing of trading, Redis or users.

For now python-engineio's server with a straight way to the transport; a later engine takes its place. Nothing above
this package may lean on anything but `EngineServer`'s public methods and `Message`.
"""

from tradecast.engine.message import Message
from tradecast.engine.server import EngineServer

__all__ = ["EngineServer", "Message"]
