"""Logs, redaction, health checks and the metrics registry."""
