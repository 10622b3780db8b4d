"""Start and stop of a server: ports, signals, the gate before handshakes, drains, rollouts."""
