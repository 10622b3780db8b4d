"""Requests to the admin port that are signed for one server and one use, in place of the bearer token.

The operator makes them (docs/operator.md). What it sends must be worth nothing to whoever reads it or gets it by
mistake: the signing key is derived from ADMIN_TOKEN, which is not sent; a signature is for one pod, one nonce of that
server's own, one method, path and body; and it opens what the operator needs, not `/admin/sessions`.

Nonces are the server's, so no clocks are compared. A server that offers one says so in the `WWW-Authenticate` of its
401; each signed request is answered with the next one in `Authentication-Info` (RFC 7615).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from pydantic import SecretStr

from tradecast.tokens import any_token_matches

SCHEME = "Tradecast-Hmac"
# Seconds for which a nonce can be used.
NONCE_LIFE = 60
# Nonces that are remembered as used. Only who has the token makes them so.
MOST_USED = 10_000
_KEY_LABEL = b"tradecast admin signing key 1"
_LABEL = b"tradecast admin request 1"
_NONCE = re.compile(r"([0-9a-f]{1,12})\.[0-9a-f]{16}\.[0-9a-f]{32}", re.ASCII)
_VALUE = re.compile(r"(?i:tradecast-hmac) +([0-9a-f.]{1,100}) ([0-9a-f]{64})", re.ASCII)


class SignedRequests:
    """What one server takes for signed.

    Args:
        tokens: ADMIN_TOKEN; several while one replaces another.
        pod_uid: Whom requests must be for: the uid that Kubernetes gives this pod, which no other one has.
        clock: Seconds that never go back.
    """

    def __init__(self, tokens: Sequence[SecretStr], pod_uid: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = [hmac.digest(token.get_secret_value().encode(), _KEY_LABEL, "sha256") for token in tokens]
        self._pod_uid = pod_uid.encode()
        self._clock = clock
        # Another one at each start: what was signed for this server before is worth nothing after.
        self._secret = secrets.token_bytes(32)
        self._used: OrderedDict[str, float] = OrderedDict()

    def offer(self) -> str:
        """A nonce, for one request within `NONCE_LIFE` seconds."""
        text = f"{int(self._clock()):x}.{secrets.token_hex(8)}"
        return f"{text}.{self._seal(text)}"

    def accept(self, authorization: str, method: str, target: bytes, body: bytes) -> bool:
        """Whether a request is signed by one who has the token, for this server, and has not been made before.

        Args:
            authorization: The header.
            method: As it was sent.
            target: Path and query as they were sent.
            body: All of it.
        """
        nonce = self.nonce_of(authorization)
        if nonce is None:
            return False
        given = authorization[-64:].encode()
        text = b"\n".join(
            (_LABEL, method.encode("latin-1"), target, self._pod_uid, nonce.encode(), hashlib.sha256(body).digest())
        )
        genuine = any_token_matches(given, (hmac.digest(key, text, "sha256").hex().encode() for key in self._keys))
        return genuine and self._use(nonce)

    def nonce_of(self, authorization: str) -> str | None:
        """The nonce in the header, if this server has offered it just now; None in any other case."""
        found = _VALUE.fullmatch(authorization)
        nonce = _NONCE.fullmatch(found[1]) if found is not None else None
        if nonce is None:
            return None
        text, _, seal = nonce[0].rpartition(".")
        genuine = any_token_matches(seal, [self._seal(text)])
        return nonce[0] if genuine and 0 <= self._clock() - int(nonce[1], 16) <= NONCE_LIFE else None

    def _use(self, nonce: str) -> bool:
        """Whether this is the first use; a server that has seen too many takes none until some are forgotten."""
        now = self._clock()
        while self._used and next(iter(self._used.values())) < now:
            self._used.popitem(last=False)
        if nonce in self._used or len(self._used) >= MOST_USED:
            return False
        self._used[nonce] = now + NONCE_LIFE + 1
        return True

    def _seal(self, text: str) -> str:
        return hmac.digest(self._secret, text.encode(), "sha256")[:16].hex()
