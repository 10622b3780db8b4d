"""The load test behind `tradecast load`."""
