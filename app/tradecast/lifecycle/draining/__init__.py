"""Draining a server: when its clients are disconnected, how fast, and by when the drain must end."""
