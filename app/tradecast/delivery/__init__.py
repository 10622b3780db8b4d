"""Events from an emitter to their recipients, and what clients need to recover: through Redis, or in memory."""
