"""All that this project uses or overrides of uvicorn's insides; docs/upstream.md lists it name by name.

uvicorn parses HTTP and serves ASGI applications. What it does not offer is done here: bounds on what a request may send
and on TLS handshakes, and WebSockets that are handed over with their raw transport (`websocket_handshake`).
"""
