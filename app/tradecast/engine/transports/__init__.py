"""What carries a connection: WebSocket, long-polling, and the way from one to the other."""
