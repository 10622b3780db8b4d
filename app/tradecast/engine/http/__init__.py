"""Requests before they are a connection's, over ASGI and straight from uvicorn's HTTP parser."""
