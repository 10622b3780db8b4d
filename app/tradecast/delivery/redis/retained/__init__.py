"""Values that Redis retains for later subscribers: written when recovery no longer needs them, read at a join."""
