"""Puts a server together: settings become components, and components the apps of its ports."""
