"""Bounds on what transports may do before it is known who their clients are, and on those that do not answer."""
