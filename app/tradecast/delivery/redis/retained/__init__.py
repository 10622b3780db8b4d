"""What stays in Redis for those who subscribe later: written when recovery needs it no more, read at a join."""
