"""Requests to servers' admin ports and to Redis."""
