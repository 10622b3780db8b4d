"""Engine.IO v4 and WebSocket: frames, transports, heartbeats. Knows nothing of Socket.IO, trading, Redis or users.

`server.EngineServer` takes the place of python-engineio's server under python-socketio's `AsyncServer`:

    class SocketServer(socketio.AsyncServer):
        def _engineio_server_class(self):
            return EngineServer

It serves any ASGI server by `handle_request`. Under uvicorn, `bind_protocol` gives it WebSockets' raw connections.
"""
