"""Real applications with express-session and passport, whose sessions tests read.

`tests/integration/sessions/express/app.mjs` is the program; one process serves many tests, and each test has
applications of its own, with the store and the options that it names.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

from kit.clients.node_packages import NodeFailed, NodeMissing, install
from kit.processes.parent import end_with_parent

FOLDER = Path(__file__).resolve().parents[2] / "integration" / "sessions" / "express"
COOKIE = "connect.sid"
"""What express-session calls its cookie."""


class ExpressProcess:
    """The Node process. It belongs to no event loop."""

    def __init__(self) -> None:
        install(FOLDER)
        self._process = subprocess.Popen(
            ["node", "app.mjs"],
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=end_with_parent,
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        if not port:
            raise NodeFailed(f"{FOLDER.name}/app.mjs ended: {self._process.wait()}")
        self.url = f"http://127.0.0.1:{port}"

    async def make_app(self, store: dict[str, Any], session: dict[str, Any]) -> str:
        """Start an application; its URL.

        Args:
            store: `package`, `url`, `database` and the store's own `options`.
            session: express-session's options.
        """
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            answer = await http.post(f"{self.url}/apps", json={"store": store, "session": session})
        assert answer.status_code == 200, answer.text
        return f"http://127.0.0.1:{answer.json()}"

    def versions(self) -> dict[str, str]:
        """The installed version of each package by its name or alias."""
        return dict(httpx.get(f"{self.url}/versions", trust_env=False, timeout=60).json())

    def close(self) -> None:
        """End the process; it leaves when its input ends."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class Visitor:
    """A browser that visits one application: it keeps the session's cookie as it was set.

    Attributes:
        cookie: The cookie's value, as it stands in the header.
    """

    def __init__(self, url: str) -> None:
        self.cookie: str | None = None
        self._http = httpx.AsyncClient(base_url=url, trust_env=False, timeout=60)

    async def post(self, path: str, **form: str) -> Any:
        """Send a form; the answer's JSON."""
        headers = {} if self.cookie is None else {"cookie": f"{COOKIE}={self.cookie}"}
        answer = await self._http.post(path, data=form, headers=headers)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            assert name == COOKIE
            self.cookie = rest.partition(";")[0]
        self._http.cookies.clear()
        return answer.json()

    async def log_in(self, user: str) -> str:
        """Log in as one of the users of app.mjs; the id of the session, bare."""
        return str(await self.post("/login", username=user, password="secret"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()


@pytest.fixture(scope="session")
def express_process() -> Iterator[ExpressProcess]:
    """One Node process for all tests."""
    try:
        process = ExpressProcess()
    except NodeMissing as missing:
        pytest.skip(str(missing))
    yield process
    process.close()
