"""What the operator decides by: a fleet as it was observed, its spec, and actions."""
