"""What a session record means."""
