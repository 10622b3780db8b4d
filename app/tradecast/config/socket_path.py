"""The path of Socket.IO on the public port. Pure."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

SEGMENT = re.compile(r"[A-Za-z0-9._~-]{1,100}")
# Routes of the public port: everything below Socket.IO's path is Socket.IO's.
TAKEN_PATHS = ("/health", "/metrics", "/api/emit", "/demo/static")


def normalize_socket_path(path: str) -> str:
    """A path for Socket.IO with a slash at both ends.

    Raises:
        ValueError: It is no path, or one that the server needs for something else.
    """
    if "://" in path:
        raise ValueError("must be a path such as /push/socket.io/, not a URL")
    words = [word for word in path.split("/") if word]
    if not all(SEGMENT.fullmatch(word) and word.strip(".") for word in words):
        raise ValueError("must be a path of letters, digits and `-._~`, such as /push/socket.io/")
    found = f"/{'/'.join(words)}/"
    if not words or any(f"{taken}/".startswith(found) or found.startswith(f"{taken}/") for taken in TAKEN_PATHS):
        raise ValueError("is used for something else")
    return found


SocketPath = Annotated[str, AfterValidator(normalize_socket_path)]
