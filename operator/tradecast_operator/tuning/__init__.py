"""Decisions about the adapter's settings and mode. Pure."""
