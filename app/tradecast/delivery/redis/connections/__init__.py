"""Connections to Redis: for scripts, and for subscriptions."""
