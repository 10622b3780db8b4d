"""Emptying a server: when its clients are sent away, how fast, and when it has to be over."""
