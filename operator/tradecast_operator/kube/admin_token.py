"""The token for the admin ports of one fleet's servers, as its Secret has it now."""

from __future__ import annotations

import time
from typing import Final

from tradecast_operator.kube.client import Kubernetes
from tradecast_operator.kube.consent import SecretRefused, Token, read_token
from tradecast_operator.model.spec import Admin

# Seconds for which a token is used before its Secret is read again.
CACHED_FOR: Final = 60.0
# So many tokens of before are remembered.
MOST_FORMER: Final = 2


class AdminToken:
    """Reads the token, at most once a minute.

    Servers read theirs when they start. So after a change of the Secret the servers of before are asked with the token
    of before, which this operator remembers while it runs.

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
        self._former: tuple[str, ...] = ()

    def expire(self) -> None:
        """Read the Secret again next time: it may be another one, or have another token."""
        self._read_at = -CACHED_FOR

    async def read(self, admin: Admin) -> tuple[str, ...]:
        """The tokens to try, the present one first; empty: there is none.

        Raises:
            Missing: There is no such Secret.
            InvalidName: No Secret can have this name.
            httpx.HTTPError: Kubernetes refuses, or does not answer in time.
        """
        if not admin.secret:
            self._forget()
        elif time.monotonic() - self._read_at > CACHED_FOR:
            self._forget()
            found = await self._kubernetes.secret(self._namespace, admin.secret)
            try:
                self.current = read_token(found, admin.secret, admin.key, strict=self._strict)
            except SecretRefused as refused:
                self.refusal = refused
            self._read_at = time.monotonic()
        if not self.current.values:  # nothing was read, or the Secret's author has withdrawn it
            return ()
        return tuple(dict.fromkeys((*self.current.values, *self._former)))

    def _forget(self) -> None:
        """Treat the current token as a previous one from now on."""
        known = tuple(dict.fromkeys((*self.current.values, *self._former)))
        self._former = known[: len(self.current.values) + MOST_FORMER]
        self.current, self.refusal = Token(), None
