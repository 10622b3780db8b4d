"""Events, history and recovery states in Redis."""
