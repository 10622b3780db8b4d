"""Socket.IO v5 packets as data, and which client of this server is in which room."""
