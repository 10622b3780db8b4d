"""Throttling, deltas, snapshots and notices of stale symbols: how events are changed before clients get them."""
