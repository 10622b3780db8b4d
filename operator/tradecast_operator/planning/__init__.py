"""Decisions about replicas, drains and rebalancing. Pure."""
