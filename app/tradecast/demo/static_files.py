"""The page's files, in memory, and how they are answered."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from tradecast import client

STATIC = Path(__file__).parent / "static"
# The helper for live quotes that is shipped for clients is the one that the page uses.
QUOTES = Path(client.__file__).parent / "quotes.mjs"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the page, in memory."""

    content: bytes
    media_type: str
    etag: str


def load_static_files(root: Path = STATIC) -> dict[str, StaticFile]:
    """The files that are served, by their path below `root`, and `quotes.mjs`. A request can name only these."""
    paths = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*"))}
    files = {}
    for name, path in {**paths, QUOTES.name: QUOTES}.items():
        if path.is_file() and path.suffix in TYPES:
            content = path.read_bytes()
            files[name] = StaticFile(content, TYPES[path.suffix], make_etag(content))
    return files


def respond_file(request: Request, file: StaticFile) -> Response:
    """The file, or 304 to a browser that has it."""
    # Kept by the browser, and asked about each time: a new version is seen at once, an old one costs a 304.
    headers = {"ETag": file.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
    if file.etag.removeprefix("W/") in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


def make_etag(content: bytes) -> str:
    """The ETag (RFC 9110 §8.8.3) of a content: a weak one, since it may be answered compressed or not."""
    return f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
