"""What every route answers with when it refuses."""

from __future__ import annotations

import re
from typing import Any

import httpx

from kit.servers.in_process import API_TOKEN

PLANTED = "planted-secret"
BEARER = {"authorization": f"Bearer {API_TOKEN}"}
NOTICE: dict[str, Any] = {"event": "notification", "userId": "u1", "notification": {"n": 1}}


def assert_error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """An error as every route answers it: JSON with a code and a sentence, and nothing from inside."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["code"] == code
    assert isinstance(body["message"], str)
    assert PLANTED not in answer.text
    assert not re.search(r"Traceback|\.py|Exception", answer.text)
    return dict(body)
