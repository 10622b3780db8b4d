"""What the tests use of python-engineio, which ships no types."""
