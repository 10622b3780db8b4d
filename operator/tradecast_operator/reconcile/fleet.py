"""One SocketFleet under the operator's care: observe, plan, act, tell, round after round."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import httpx
import structlog

from tradecast_operator.clients.server_admin import Known, Servers
from tradecast_operator.kube.act import Actor, Interrupted
from tradecast_operator.kube.client import GROUP, VERSION, Conflict, InvalidName, Kubernetes, Missing, Object
from tradecast_operator.kube.consent import ADMIN_LABEL, REDIS_LABEL, SecretRefused, Token, read_token
from tradecast_operator.kube.lease import NotHeld
from tradecast_operator.kube.leaseholder import Leaseholder
from tradecast_operator.kube.observe import ask_servers, observe, target_of
from tradecast_operator.kube.owners import owner_of, replica_sets_of, split
from tradecast_operator.kube.selector import written
from tradecast_operator.metrics import Course, Metrics
from tradecast_operator.model.actions import Action, CancelDrain, SetReplicas
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning import autoscaler_metric as metric
from tradecast_operator.planning.conditions import Condition, conditions, lost, merged, named, rounded, trusted
from tradecast_operator.planning.plan import Memory, plan
from tradecast_operator.planning.replicas import is_overdue
from tradecast_operator.reconcile.adapter import Tuner
from tradecast_operator.tuning.mode_change import ROLLING
from tradecast_operator.tuning.rules import mode_of
from tradecast_operator.tuning.scale_hold import hold

PAUSED: Final = "tradecast.dev/paused"
# Seconds for which a token is used without a look whether it is another one by now.
TOKEN_KEPT: Final = 60.0
# The same thing is told again after so many seconds only.
TOLD_AGAIN: Final = 300.0
# Seconds after which a round is given up: what it would have done is decided anew.
LONGEST_ROUND: Final = 300.0
log = structlog.stdlib.get_logger("tradecast.operator")


class Gone(Exception):
    """The SocketFleet has been deleted, and no watch has told."""


class Unfit(Exception):
    """Nothing can be made of what the SocketFleet says: its author's to mend, and nobody else's trouble."""


class Fleet:
    """A SocketFleet.

    Attributes:
        body: The resource as it is now.
        last_round: When its last good round ended, or one that found something missing, in seconds since 1970; or it
            was seen first.
        looked: Whether a round has ended, however.

    Args:
        body: The resource.
        kubernetes: The API.
        client: Makes requests to the servers.
        metrics: Are told what happens.
        lease: Without it the fleet is looked at only.
        owner: Tells the SocketFleet that has had its Deployment before: this one is looked at only, too. Empty: none.
        on_gone: Called when the SocketFleet turns out to have been deleted.
        at_once: Bounds the requests to servers at a time.
        strict: Whether Secrets that do not consent, and servers that take no signed requests, are refused.
    """

    def __init__(
        self,
        body: Object,
        kubernetes: Kubernetes,
        client: httpx.AsyncClient,
        metrics: Metrics,
        lease: Leaseholder,
        owner: Callable[[], str] = str,
        on_gone: Callable[[], None] = lambda: None,
        at_once: asyncio.Semaphore | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self._at_once = at_once
        self._strict = strict
        self.body = body
        self.namespace: str = body["metadata"]["namespace"]
        self.name: str = body["metadata"]["name"]
        self._kubernetes = kubernetes
        self._client = client
        self._metrics = metrics
        self._lease = lease
        self._owner = owner
        self._on_gone = on_gone
        self._renewing: asyncio.Task[None] | None = None
        self._forget()
        self._reading = metric.Reading()
        self._token = Token()
        self._token_refused: SecretRefused | None = None
        self._known_servers = Known()
        self._replica_sets: frozenset[str] = frozenset()
        self._replica_sets_of = ""
        self._strangers: Sequence[str] = ()
        self._token_read = -TOKEN_KEPT
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._changed = asyncio.Event()
        self.last_round = time.time()
        self.looked = False

    def _forget(self) -> None:
        """What was remembered of one's own doing is worth nothing after somebody else's."""
        self._acted_in: int | None = None
        self._memory = Memory()
        self._has_told = False
        self._course = Course()
        self._tuner = Tuner(self._kubernetes, self.namespace, self.name, self._lease, strict=self._strict)

    @property
    def deployment(self) -> str:
        """The name of the Deployment that it is about, whatever else its spec says."""
        spec = self.body.get("spec")
        return str(spec.get("deployment", "")) if isinstance(spec, dict) else ""

    @property
    def age(self) -> tuple[str, str]:
        """By which the older of two is told: since when, and its uid."""
        metadata = self.body["metadata"]
        return metadata.get("creationTimestamp", ""), metadata["uid"]

    def changed(self, body: Object) -> None:
        """The resource is another one now; the next round begins at once if what it asks for is."""
        again = body["metadata"].get("generation") != self.body["metadata"].get("generation")
        again |= _is_paused(body) != _is_paused(self.body)
        self.body = body
        if again:
            self._token_read = -TOKEN_KEPT  # of another Secret, perhaps
            self._changed.set()

    async def run(self, every: float) -> None:
        """Round after round, `every` seconds apart."""
        self._metrics.begin(self.namespace, self.name, self._lease.holds)
        name = f"lease {self.namespace}/{self.name}"
        self._renewing = asyncio.create_task(self._lease.run(self._changed.set), name=name)
        while True:
            self._changed.clear()
            began = time.monotonic()
            result = "error"
            try:
                async with asyncio.timeout(LONGEST_ROUND):
                    result = await self.round()
            except asyncio.CancelledError:
                raise
            except NotHeld:
                result = "waiting"
            except Gone:
                log.warning("the SocketFleet is gone", fleet=self.name, namespace=self.namespace)
                self._on_gone()
                return
            except Missing as error:
                # Somebody's mistake, which another operator would find as well: this one lives.
                self.last_round = time.time()
                await self._lose(f"there is no {error}")
                self._acted_in = None  # perhaps it is the SocketFleet that is missing
            except (Unfit, InvalidName) as error:
                self.last_round = time.time()
                await self._lose(str(error), "SpecInvalid")
            except Exception as error:
                log.exception("a round failed", fleet=self.name, namespace=self.namespace)
                await self._lose(f"{type(error.__cause__ or error).__name__}, the operator's log tells more")
            labels = (self.namespace, self.name)
            self._metrics.rounds.labels(*labels, result).inc()
            self._metrics.round_seconds.labels(*labels).observe(time.monotonic() - began)
            if not self._lease.holds():
                self._stand_by()
            self.looked = True
            if result != "error":
                self.last_round = time.time()
            if result not in ("error", "waiting"):
                self._metrics.last_round.labels(*labels).set(self.last_round)
            try:
                async with asyncio.timeout(every):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def round(self) -> str:
        """Observe, plan, act, tell; how it went.

        Raises:
            NotHeld: Another operator may act by now.
            Gone: There is nothing to act for.
            Unfit: The SocketFleet says what makes no sense.
        """
        body = self.body
        if self._lease.forbidden:
            raise NotHeld
        term = self._lease.term
        spec = _spec_of(body)
        deployment = await self._kubernetes.deployment(self.namespace, spec.deployment)
        if "replicas" not in body["spec"]:
            async with self._lease.acting():
                await self._adopt(body, deployment, spec)
            return "ok"  # and comes again, with them
        selector = written(deployment["spec"]["selector"])
        pods = await self._pods(deployment, selector)
        servers = await self._servers(spec)
        seen = observe(deployment, pods, await ask_servers(pods, servers), time.time())
        if servers.refused:  # it is another one by now, perhaps
            self._token_read = -TOKEN_KEPT
        self._reading = metric.read(seen, self._reading, spec.metric)
        if term is None or self._lease.term != term:
            raise NotHeld  # another operator may have acted since the fleet was read
        if term != self._acted_in:
            # A deletion may have been missed, and its Lease been collected as garbage: that is a new term too.
            if not await self._kubernetes.has_fleet(self.namespace, self.name, body["metadata"]["uid"]):
                raise Gone
            self._forget()
        self._acted_in = term
        owner = self._owner()
        paused = _is_paused(body) or bool(owner)
        spec = hold(seen, spec, _last_mode(body), spec.redis_adapter.config_map_of(self.name))
        decided = plan(seen, spec, self._memory)
        self._memory = decided.memory
        done: Sequence[Action] = ()
        if not paused and not spec.dry_run:
            done = await self._carry_out(decided.actions, pods, servers, spec)
        elif not paused:
            await self._tell(decided.actions, prefix="dry run: ")
        tuned = await self._tuner.round(seen, spec, act=not paused and not spec.dry_run)
        done = done if paused else [*done, *tuned.actions]
        await self._tell(done)
        self._measure(seen, spec, done)
        trust = await self._tell_trust(spec, servers, pods)
        rolls = any(one.reason == ROLLING for one in tuned.conditions)
        now = [*conditions(seen, spec, paused=_is_paused(body), rolls=rolls, owner=owner), trust, *tuned.conditions]
        await self._write_status(body, seen, spec, selector, now, tuned.status)
        return "paused" if paused else "ok" if seen.complete else "incomplete"

    async def release(self) -> None:
        """Let servers that drain take clients again: nobody looks after them any more."""
        if not self._lease.holds():
            return
        spec = _spec_of(self.body)
        deployment = await self._kubernetes.deployment(self.namespace, spec.deployment)
        pods = await self._pods(deployment, written(deployment["spec"]["selector"]))
        seen = observe(deployment, pods, {}, time.time())
        marked = [pod for pod in seen.pods if pod.drain_since is not None and not pod.terminating]
        why = "the SocketFleet is gone"
        cancel = [
            CancelDrain(pod=pod.name, uid=pod.uid, reason="DrainCancelled", message=f"{pod.name} takes clients: {why}")
            for pod in marked
        ]
        await self._carry_out(cancel, pods, await self._servers(spec), spec)

    async def leave(self) -> None:
        """Let another operator look after it at once; after all else."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        await self._lease.release()

    def _stand_by(self) -> None:
        """Another operator acts, and tells what it does: what this one has told is true no longer."""
        if self._acted_in is not None or self._has_told:
            self._forget()
            self._metrics.forget(self.namespace, self.name)
            self._metrics.begin(self.namespace, self.name, self._lease.holds)

    def connections(self) -> int:
        """What the autoscaler is told. Raises metric.Unknown."""
        try:
            rules = _spec_of(self.body).metric
        except Unfit as unfit:
            raise metric.Unknown(str(unfit)) from None
        return metric.connections(self._reading, time.time(), rules)

    async def _pods(self, deployment: Object, selector: str) -> Sequence[Object]:
        """The pods of the Deployment; others that its selector matches are left alone."""
        pods = await self._kubernetes.pods(self.namespace, selector)
        uid = str(deployment["metadata"].get("uid", ""))
        if uid != self._replica_sets_of:
            self._replica_sets, self._replica_sets_of = frozenset(), uid
        ours, others = split(pods, self._replica_sets)
        if any(owner_of(pod, "ReplicaSet") for pod in others):  # of one that is new
            found = await self._kubernetes.replica_sets(self.namespace, selector)
            self._replica_sets = replica_sets_of(deployment, found)
            ours, others = split(pods, self._replica_sets)
        self._strangers = [pod["metadata"]["name"] for pod in others]
        self._known_servers.keep({pod["metadata"]["uid"] for pod in ours}, self._replica_sets)
        return ours

    async def _tell_trust(self, spec: Spec, servers: Servers, pods: Sequence[Object]) -> Condition:
        """Who gets what opens the admin ports, as a condition; what the next version refuses is warned of."""
        problems: list[tuple[str, str]] = []
        if self._token_refused is not None:
            problems.append((self._token_refused.reason, str(self._token_refused)))
        lacking = [] if self._token.consented else [(spec.admin.secret, ADMIN_LABEL)]
        lacking += [(self._tuner.unlabelled, REDIS_LABEL)] if self._tuner.unlabelled else []
        problems += [
            ("SecretNotLabelled", f"Secret {name} lacks the label {label}=true: the next version will not read it")
            for name, label in lacking
        ]
        old = [pod["metadata"]["name"] for pod in pods if pod["metadata"]["uid"] in servers.bearers]
        if old:
            message = f"the ADMIN_TOKEN itself was sent to servers that take no signed requests: {named(old)}"
            problems.append(("TokenSent", f"{message}; the next version will not"))
        if self._strangers:
            message = "the Deployment's selector matches pods that are not its own, which are left alone"
            problems.append(("ForeignPods", f"{message}: {named(self._strangers)}"))
        await self._tell([Action(reason=reason, message=message, warning=True) for reason, message in problems])
        return trusted(problems, has_token=bool(spec.admin.secret))

    async def _carry_out(
        self, actions: Sequence[Action], pods: Sequence[Object], servers: Servers, spec: Spec
    ) -> Sequence[Action]:
        actor = Actor(
            self._kubernetes,
            self._lease,
            servers,
            namespace=self.namespace,
            fleet=self.name,
            deployment=spec.deployment,
        )
        targets = {pod["metadata"]["name"]: target_of(pod) for pod in pods}
        try:
            return await actor.carry_out(actions, targets)
        except Interrupted as error:
            await self._tell(error.done)
            self._count(error.done)
            raise

    async def _adopt(self, body: Object, deployment: Object, spec: Spec) -> None:
        """Begin with the replicas that there are: an autoscaler leaves alone what has none."""
        replicas = max(spec.min_replicas, min(spec.max_replicas, int(deployment["spec"].get("replicas", 1))))
        version = body["metadata"]["resourceVersion"]
        try:
            await self._kubernetes.adopt_replicas(self.namespace, self.name, version, replicas)
        except Conflict:  # somebody else wrote them, perhaps
            log.info("replicas are not filled in: the resource has changed", fleet=self.name, namespace=self.namespace)

    async def _servers(self, spec: Spec) -> Servers:
        admin = spec.admin
        if not admin.secret:
            self._token, self._token_refused = Token(), None
        elif time.monotonic() - self._token_read > TOKEN_KEPT:
            self._token, self._token_refused = Token(), None
            found = await self._kubernetes.secret(self.namespace, admin.secret)
            try:
                self._token = read_token(found, admin.secret, admin.key, strict=self._strict)
            except SecretRefused as refused:
                self._token_refused = refused
            self._token_read = time.monotonic()
        token, known = self._token.value, self._known_servers
        return Servers(self._client, admin.port, token, known, self._at_once, bearer=not self._strict)

    def _measure(self, seen: Observation, spec: Spec, done: Sequence[Action]) -> None:
        labels = (self.namespace, self.name)
        ready = [pod for pod in seen.pods if pod.ready]
        drained = [pod for pod in seen.pods if pod.drain_since is not None and not pod.terminating]
        figures = {
            "wanted": spec.wanted,
            "asked": seen.replicas,
            "ready": len(ready),
            "draining": len(drained),
        }
        for which, count in figures.items():
            self._metrics.replicas.labels(*labels, which).set(count)
        self._metrics.connections.labels(*labels).set(seen.total)
        mean = sum(pod.connections or 0 for pod in ready) / len(ready) if ready else 0
        most = max((pod.connections or 0 for pod in ready), default=0)
        self._metrics.spread.labels(*labels).set(most / mean if mean else 1)
        self._metrics.spread_threshold.labels(*labels).set(spec.rebalance.threshold)
        ages = [seen.time - (pod.drain_since or 0) for pod in drained]
        self._metrics.drain_seconds.labels(*labels).set(max(ages, default=0))
        self._metrics.drain_limit_seconds.labels(*labels).set(spec.drain.timeout)
        self._metrics.drain_overdue.labels(*labels).set(sum(is_overdue(pod, seen, spec) for pod in drained))
        self._count(done)
        written = [action.replicas for action in done if isinstance(action, SetReplicas)]
        self._metrics.reversals.labels(*labels).inc(self._course.turns(seen.replicas, *written))

    def _count(self, done: Sequence[Action]) -> None:
        for action in done:
            self._metrics.actions.labels(self.namespace, self.name, action.reason).inc()

    async def _write_status(
        self,
        body: Object,
        seen: Observation,
        spec: Spec,
        selector: str,
        now: Sequence[Condition],
        adapter: Object,
    ) -> None:
        alive = [pod for pod in seen.pods if not pod.terminating]
        status = {
            "observedGeneration": body["metadata"]["generation"],
            # An autoscaler that counts pods which are on their way out would take others away for them.
            "replicas": min(seen.replicas, sum(pod.drain_since is None for pod in alive)),
            "readyReplicas": sum(pod.ready for pod in alive),
            "desiredReplicas": spec.wanted,
            "selector": selector,
            "connections": rounded(seen.total),
            # While nobody answers it is what it was: what is decided by it must not forget it.
            "mode": _mode(seen) or _last_mode(body),
            **adapter,
        }
        await self._patch_status(body, status, now)

    async def _lose(self, why: str, reason: str = "NotSeen") -> None:
        if not self._lease.holds():
            return
        try:
            await self._patch_status(self.body, {}, lost(why, reason))
        except (NotHeld, Missing, httpx.HTTPError):
            return
        except Exception:
            # Whoever ended here would be looked after no more, and nobody would be told.
            log.exception("a condition could not be written", fleet=self.name, namespace=self.namespace)

    async def _patch_status(self, body: Object, status: Object, now: Sequence[Condition]) -> None:
        """Tell what was seen and done about the resource as it was then; by now it may be another one."""
        before = self.body.get("status", {})
        generation = body["metadata"]["generation"]
        told = {**status, "conditions": merged(before.get("conditions", []), now, generation, time.time())}
        if any(before.get(key) != value for key, value in told.items()):
            async with self._lease.acting():
                await self._kubernetes.set_status(self.namespace, self.name, told)
            self.body = {**self.body, "status": {**before, **told}}
        self._has_told = True
        self._metrics.tell_conditions(
            self.namespace, self.name, {one["type"]: one["status"] for one in told["conditions"]}
        )

    async def _tell(self, actions: Sequence[Action], prefix: str = "") -> None:
        now = time.monotonic()
        for action in actions:
            key = (action.reason, prefix + action.message)
            if now - self._told.get(key, -TOLD_AGAIN) < TOLD_AGAIN:
                continue
            self._told[key] = now
            self._told.move_to_end(key)
            while len(self._told) > 1_000:
                self._told.popitem(last=False)
            told = f"{prefix}{action.message}"
            log.info(told, fleet=self.name, namespace=self.namespace, reason=action.reason)
            try:
                await self._kubernetes.create_event(self.namespace, self._event(action, prefix))
            except (Missing, httpx.HTTPError) as error:
                log.warning("an event could not be written", error=type(error).__name__)

    def _event(self, action: Action, prefix: str) -> Object:
        now = datetime.datetime.now(datetime.UTC)
        written = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = self.body["metadata"]
        return {
            "metadata": {"generateName": f"{self.name}.", "namespace": self.namespace},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": "SocketFleet",
                "namespace": self.namespace,
                "name": self.name,
                "uid": metadata["uid"],
                "resourceVersion": metadata.get("resourceVersion", ""),
            },
            "type": "Warning" if action.warning else "Normal",
            "reason": action.reason,
            "message": (prefix + action.message)[:1024],
            "source": {"component": "tradecast-operator"},
            "firstTimestamp": written,
            "lastTimestamp": written,
            "count": 1,
        }


def _is_paused(body: Object) -> bool:
    return str((body["metadata"].get("annotations") or {}).get(PAUSED)).lower() == "true"


def _mode(seen: Observation) -> str:
    """What the servers say their adapter is; several while one replaces the other."""
    modes = (mode_of(pod.stats.adapter) for pod in seen.pods if pod.stats is not None)
    return "/".join(sorted({mode for mode in modes if mode is not None}))


def _last_mode(body: Object) -> str:
    """What was told of it last; empty: nothing was."""
    return str(body.get("status", {}).get("mode", ""))


def _spec_of(body: Object) -> Spec:
    """Raises Unfit."""
    try:
        return Spec.of(body["spec"])
    except (KeyError, ValueError) as error:
        raise Unfit(f"the SocketFleet's spec makes no sense: {error}") from None
