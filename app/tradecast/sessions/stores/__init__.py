"""Session stores: memory, Redis, MongoDB."""
