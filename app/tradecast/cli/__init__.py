"""The command line: serve, check, demo, feed, emit, session, load. Each command stands in a module of its own."""

from tradecast.cli.root import cli, main

__all__ = ["cli", "main"]
