"""How a server talks to the server that owns a connection: its address, HTTP/1.1, and WebSockets byte for byte."""
