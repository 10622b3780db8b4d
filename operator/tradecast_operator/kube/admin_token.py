"""The token for the admin ports of one fleet's servers, as its Secret has it now."""

from __future__ import annotations

import time
from typing import Final

from tradecast_operator.kube.client import Kubernetes
from tradecast_operator.kube.consent import SecretRefused, Token, read_token
from tradecast_operator.model.spec import Admin

# Seconds for which a token is used before its Secret is read again.
CACHED_FOR: Final = 60.0


class AdminToken:
    """Reads the token, at most once a minute.

    Attributes:
        current: The token; empty: there is none.
        refusal: Why no token was read from the Secret; None: one was.

    Args:
        kubernetes: The API.
        namespace: The fleet's namespace.
        strict: Whether a Secret without its label is refused.
    """

    def __init__(self, kubernetes: Kubernetes, namespace: str, *, strict: bool) -> None:
        self.current = Token()
        self.refusal: SecretRefused | None = None
        self._kubernetes = kubernetes
        self._namespace = namespace
        self._strict = strict
        self._read_at = -CACHED_FOR

    def expire(self) -> None:
        """Have the Secret read again: it may be another one, or have another token."""
        self._read_at = -CACHED_FOR

    async def read(self, admin: Admin) -> str:
        """The token; empty: there is none. Raises Missing, InvalidName or httpx.HTTPError."""
        if not admin.secret:
            self.current, self.refusal = Token(), None
        elif time.monotonic() - self._read_at > CACHED_FOR:
            self.current, self.refusal = Token(), None
            found = await self._kubernetes.secret(self._namespace, admin.secret)
            try:
                self.current = read_token(found, admin.secret, admin.key, strict=self._strict)
            except SecretRefused as refused:
                self.refusal = refused
            self._read_at = time.monotonic()
        return self.current.value
