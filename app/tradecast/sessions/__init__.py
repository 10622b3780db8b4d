"""Sessions: who a client is, and for how long."""
