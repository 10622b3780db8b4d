"""Compression: permessage-deflate of WebSocket messages (RFC 7692), and gzip of HTTP answers."""
