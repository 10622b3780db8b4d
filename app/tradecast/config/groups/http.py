"""What the HTTP routes serve, and who may use them."""

from __future__ import annotations

from pydantic import Field

from tradecast.config.groups.base import Group
from tradecast.config.types import (
    SecretTexts,
)


class HttpSettings(Group):
    """HTTP routes."""

    metrics_public: bool = Field(True, description="Serve /metrics on the public port too")
    emit_public: bool = Field(True, description="Serve /api/emit on the public port too")
    http_compression: bool = Field(
        True, description="Gzip answers of 1024 bytes and more, those to polls too, for clients that accept it"
    )
    api_token: SecretTexts = Field(
        (), description="Bearer tokens for /api/emit, comma-separated; none: the route is closed"
    )
    admin_token: SecretTexts = Field((), description="Bearer tokens for /admin, comma-separated; none: loopback only")
