"""Settings: what the environment may say, checked."""
