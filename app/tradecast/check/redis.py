"""Checks a Redis: whether it answers, what it is, whether it may evict keys, and what the user may do."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Mapping
from typing import Any, Final

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, NoScriptError

from tradecast.causes import Cause, Code
from tradecast.check.needs import OWN, SUBSCRIPTIONS, Need, find_lacking, list_needs, write_rule
from tradecast.check.report import Finding, State
from tradecast.config.settings import Settings, UrlName
from tradecast.delivery.redis.connections.endpoints import list_endpoints
from tradecast.redis_client.client import RedisClient, create_redis
from tradecast.redis_client.errors import FAILURES
from tradecast.redis_client.eviction import REMEDY, read_eviction
from tradecast.redis_client.peer import Explainer
from tradecast.redis_client.redis_py_internals import stream_writer
from tradecast.sessions.stores.redis import GLOB

# Seconds that one request may take here, whatever REDIS_TIMEOUT allows: somebody waits.
PATIENCE: Final = 5.0
SKEW: Final = 2.0
SOON: Final = 14 * 86_400
# Of `maxclients`; beyond, a server that is started finds no connection perhaps.
MANY_CLIENTS: Final = 0.9
OLDEST: Final = (6, 2)
# How many keys one step scans for a session, and how many steps there are.
SCANNED: Final = 1_000
SCANS: Final = 20
OLDEST_CLUSTER: Final = (7, 0)


async def check_redis_server(settings: Settings, url: UrlName) -> list[Finding]:
    """Check the Redis that a setting names. Whatever is wrong is a finding.

    Raises:
        SettingsError: The URL is invalid.
    """
    patience = min(settings.redis_timeout, PATIENCE)
    redis = create_redis(
        settings,
        url,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=patience,
        socket_connect_timeout=patience,
        timeout=patience,
    )
    try:
        return await _RedisCheck(settings, url, redis).all()
    finally:
        with contextlib.suppress(*FAILURES):
            await redis.aclose()


class _RedisCheck:
    def __init__(self, settings: Settings, url: UrlName, redis: RedisClient) -> None:
        self._settings = settings
        self._redis = redis
        self._cluster = redis.is_cluster
        self._explainer = Explainer(redis.place)
        self._who = f"Redis at {redis.place.at}"
        self._url = url
        self._events = settings.mode != "single" and (settings.adapter_url == url or settings.other_mode is not None)
        self._sessions = url == "REDIS_URL" and settings.store_name == "redis"
        self._findings: list[Finding] = []

    async def all(self) -> list[Finding]:
        try:
            await self._redis.check()
        except FAILURES as error:
            cause = await self._explainer.explain(error)
            if cause.code != Code.NO_PERMISSION:
                return [Finding.of(self._url, cause)]
            if self._cluster:  # without its nodes nothing else can be asked
                return [self._without_permission(str(cause.detail))]
            # without PING all the rest may be permitted or not: that is looked at
        else:
            self._add("ok", f"{self._who} answers")
        info = await self._ask_info()
        if info is not None and not self._is_of_kind(info):
            return self._findings
        for about in (info or {}).values():
            self._check_state(about)
            self._check_memory(about)
        await self._check_permissions()
        await self._check_sessions()
        await self._check_clock()
        await self._check_certificate()
        return self._findings

    def _add(self, state: State, message: str, remedy: str = "", cause: Code | None = None, name: str = "") -> None:
        self._findings.append(Finding(f"{self._url} {name}".strip(), state, message, remedy, str(cause or "")))

    async def _ask_info(self) -> Mapping[str, Mapping[str, Any]] | None:
        """INFO of each instance, by its address; None: it is not available."""
        try:
            return await self._redis.read_info()
        except NoPermissionError:
            self._add(
                "warning",
                f"{self._who} does not permit this user INFO: version, memory policy and role are not known",
                "Grant the command: `ACL SETUSER NAME +info`",
                Code.NO_PERMISSION,
            )
        except FAILURES as error:
            self._findings.append(Finding.of(self._url, await self._explainer.explain(error), "warning"))
        return None

    def _is_of_kind(self, info: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether it is what the URL says."""
        about = next(iter(info.values()), {})
        place = self._explainer.place
        code = None
        if about.get("redis_mode") == "sentinel":
            code = Code.IS_SENTINEL
        elif not self._cluster and about.get("cluster_enabled") == 1:
            code = Code.IS_CLUSTER
        if code is not None:
            self._findings[:] = [Finding.of(self._url, Cause(code, place))]
        return code is None

    def _check_state(self, about: Mapping[str, Any]) -> None:
        place = self._explainer.place
        version = str(about.get("redis_version", ""))
        oldest = OLDEST_CLUSTER if self._cluster else OLDEST
        if version and _parse_version(version) < oldest:
            wanted = ".".join(map(str, oldest))
            self._add("error", f"{self._who} is version {version}", f"Use Redis {wanted} or newer", name="version")
        elif version:
            self._add("ok", f"Redis {version}{', a Redis Cluster' if self._cluster else ''}", name="version")
        if about.get("role") == "slave":
            away = about.get("master_link_status") != "up"
            self._findings.append(
                Finding.of(f"{self._url} role", Cause(Code.MASTER_AWAY if away else Code.READ_ONLY, place))
            )
        if about.get("loading") == 1:
            self._findings.append(Finding.of(f"{self._url} state", Cause(Code.LOADING, place)))
        clients, most = about.get("connected_clients"), about.get("maxclients")
        if isinstance(clients, int) and isinstance(most, int) and clients > MANY_CLIENTS * most:
            message = f"{self._who} has {clients} of at most {most} clients"
            remedy = "Raise `maxclients`, or disconnect clients: `CLIENT LIST`"
            self._add("warning", message, remedy, Code.TOO_MANY_CLIENTS, "clients")
        if about.get("rdb_last_bgsave_status", "ok") != "ok" or about.get("aof_last_write_status", "ok") != "ok":
            self._findings.append(Finding.of(f"{self._url} disk", Cause(Code.DISK_TROUBLE, place), "warning"))

    def _check_memory(self, about: Mapping[str, Any]) -> None:
        eviction = read_eviction(about)
        if eviction.may_evict:
            message = f"{self._who} evicts keys when its memory is full (maxmemory_policy is {eviction.policy}): "
            message += "then clients start new sessions, and log-ins end"
            self._add("warning", message, f"{REMEDY[0].upper()}{REMEDY[1:]}", name="policy")
        elif eviction.may_evict is False:
            self._add("ok", f"maxmemory_policy is {eviction.policy}: no keys are evicted", name="policy")
        used, most = about.get("used_memory"), about.get("maxmemory")
        if isinstance(used, int) and isinstance(most, int) and 0 < most <= used:
            state: State = "error" if eviction.may_evict is False else "warning"
            cause = Cause(Code.OUT_OF_MEMORY, self._explainer.place)
            self._findings.append(Finding.of(f"{self._url} memory", cause, state))

    @property
    def _prefix(self) -> str:
        return list_endpoints(self._redis)[0].prefix if self._events else ""

    @property
    def _session_prefix(self) -> str | None:
        return self._settings.session_key_prefix if self._sessions else None

    def _needs(self) -> list[Need]:
        return list_needs(prefix=self._prefix, sessions=self._session_prefix, sharded=self._cluster)

    def _without_permission(self, what: str) -> Finding:
        cause = Cause(Code.NO_PERMISSION, self._explainer.place, what)
        rule = write_rule(self._session_prefix, cluster=self._cluster, needs=self._needs())
        return Finding(f"{self._url} permissions", "error", cause.sentence, f"Grant it: {rule}", str(cause.code))

    async def _check_permissions(self) -> None:
        prefix, needs = self._prefix, self._needs()
        try:
            answers = await self._redis.run_all([(need.key, need.words) for need in needs])
        except FAILURES as error:
            self._findings.append(Finding.of(f"{self._url} permissions", await self._explainer.explain(error)))
            return
        refused: list[tuple[Need, str]] = []
        others: dict[Code, Finding] = {}
        for need, answer in zip(needs, answers, strict=True):
            if not isinstance(answer, Exception) or isinstance(answer, NoScriptError):
                continue
            cause = await self._explainer.explain(answer)
            if cause.code == Code.NO_PERMISSION:
                refused.append((need, str(answer)))
            else:
                others.setdefault(cause.code, Finding.of(f"{self._url} commands", cause))
        if self._events and (answer := await self._try_subscribing(prefix)) is not None:
            name, text = answer
            refused.append((Need(prefix, (name,), f"{OWN}*"), text))
        if refused or len(others) > 1:
            others.pop(Code.ERROR, None)  # what a command could not make, others do not find
        known = {finding.cause for finding in self._findings}
        self._findings += [finding for finding in others.values() if finding.cause not in known]
        lacking = find_lacking(refused)
        if lacking:
            self._findings.append(self._without_permission(str(lacking)))
        elif not others:
            self._add("ok", "this user has all permissions that are needed", name="permissions")

    async def _try_subscribing(self, prefix: str) -> tuple[str, str] | None:
        """The command and the answer of Redis, if it does not permit it."""
        name = SUBSCRIPTIONS["sharded" if self._cluster else "pubsub"][0]
        try:
            connection = await list_endpoints(self._redis)[0].connector.connect()
        except Exception as error:  # redis-py's client of a cluster in trouble raises some that are no RedisError
            self._findings.append(Finding.of(f"{self._url} subscription", await self._explainer.explain(error)))
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                await connection.send_command(name.upper(), f"{prefix}check", check_health=False)
                await connection.read_response()
        except NoPermissionError as error:
            return name, str(error)
        except FAILURES as error:
            self._findings.append(Finding.of(f"{self._url} subscription", await self._explainer.explain(error)))
        finally:
            await connection.disconnect(nowait=True)
        return None

    async def _check_sessions(self) -> None:
        prefix = self._session_prefix
        if prefix is None or self._cluster:
            return
        cursor: Any = 0
        for _ in range(SCANS):
            try:
                cursor, keys = await self._redis.scan(cursor, match=prefix.translate(GLOB) + "*", count=SCANNED)
            except FAILURES:  # the permissions report it
                return
            if keys:
                self._add("ok", f"there are keys that begin with {prefix}", name="sessions")
                return
            if cursor == 0:
                message = (
                    f"no key in {self._who} begins with {prefix}: nobody has logged in yet, or sessions are elsewhere"
                )
                remedy = "Check that SESSION_KEY_PREFIX and the database in REDIS_URL are the application's"
                self._add("warning", message, remedy, name="sessions")
                return

    async def _check_clock(self) -> None:
        if self._cluster:
            return
        try:
            before = time.time()
            seconds, microseconds = await self._redis.execute_command("TIME")  # type: ignore[no-untyped-call]
            middle = (before + time.time()) / 2
        except (*FAILURES, TypeError, ValueError):
            return
        skew = int(seconds) + int(microseconds) / 1e6 - middle
        if abs(skew) > SKEW:
            message = (
                f"The clock of {self._who} is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
            )
            self._add("warning", message, "Set both clocks by NTP: sessions end too early or too late", name="clock")

    async def _check_certificate(self) -> None:
        if not self._explainer.place.tls or self._cluster:
            return
        try:
            connection = await self._redis.open_connection("")
        except FAILURES:
            return
        try:
            writer = stream_writer(connection)
            found = writer.get_extra_info("ssl_object") if writer is not None else None
            shown = found.getpeercert() if isinstance(found, ssl.SSLObject) else None
        finally:
            await connection.disconnect(nowait=True)
        ends = (shown or {}).get("notAfter")
        if isinstance(ends, str):
            self._findings.append(check_expiry(f"{self._url} certificate", f"The certificate of {self._who}", ends))


def check_expiry(name: str, what: str, ends: str) -> Finding:
    """Whether a certificate expires soon; `ends` is in OpenSSL's format."""
    left = ssl.cert_time_to_seconds(ends) - time.time()
    if left < 0:
        return Finding(name, "error", f"{what} has expired: {ends}", "Renew it", str(Code.TLS_CERTIFICATE_EXPIRED))
    if left < SOON:
        return Finding(name, "warning", f"{what} expires in {left / 86_400:.0f} days: {ends}", "Renew it")
    return Finding(name, "ok", f"{what} is valid until {ends}")


def _parse_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
