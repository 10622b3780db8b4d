"""Signing requests to a server's admin port, so that what is sent is useless to anybody else. Pure.

The servers' side is `tradecast.http.signed_requests`, which explains the purpose.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

SCHEME: Final = "Tradecast-Hmac"
_KEY_LABEL: Final = b"tradecast admin signing key 1"
_LABEL: Final = b"tradecast admin request 1"
_NONCE: Final = r'{}="([0-9a-f.]{{1,100}})"'
_OFFERED: Final = re.compile(r"(?:^|[, ])" + SCHEME + " +" + _NONCE.format("nonce"), re.IGNORECASE | re.ASCII)
_NEXT: Final = re.compile(r"(?:^|[, ])" + _NONCE.format("nextnonce"), re.IGNORECASE | re.ASCII)


def sign_request(token: str, method: str, path: str, pod_uid: str, nonce: str, body: bytes) -> str:
    """The `Authorization` of a request.

    Args:
        token: The servers' ADMIN_TOKEN.
        method: As it is sent.
        path: As it is sent.
        pod_uid: The uid of the pod that the request is for, as Kubernetes has it.
        nonce: The nonce that the pod offered.
        body: As it is sent.
    """
    key = hmac.digest(token.encode(), _KEY_LABEL, "sha256")
    digest = hashlib.sha256(body).digest()
    text = b"\n".join((_LABEL, method.encode(), path.encode(), pod_uid.encode(), nonce.encode(), digest))
    return f"{SCHEME} {nonce} {hmac.digest(key, text, 'sha256').hex()}"


def read_offered_nonce(www_authenticate: str) -> str | None:
    """The nonce that a server offers with a 401; None: it accepts no signed requests."""
    found = _OFFERED.search(www_authenticate)
    return found[1] if found is not None else None


def read_next_nonce(authentication_info: str) -> str | None:
    """The nonce for the next request, which a server sends with its answer."""
    found = _NEXT.search(authentication_info)
    return found[1] if found is not None else None
