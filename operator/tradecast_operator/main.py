"""The wiring to kopf, and nothing else: `tradecast-operator`, or `kopf run -m tradecast_operator.main`."""

from __future__ import annotations

import argparse
import asyncio
import errno
import logging
import os
import re
import socket
import sys
import time
from pathlib import Path
from typing import Any, Final, cast

import httpx
import kopf
import structlog
from aiohttp import web

from tradecast_operator.endpoint import create_app
from tradecast_operator.kube.client import GROUP, PLURAL, VERSION, Conflict, Kubernetes
from tradecast_operator.kube.cluster.definition import NAME, DefinitionRefused, read_definition, update_definition
from tradecast_operator.kube.cluster.requirements import ClusterUnfit, check_definition, check_version
from tradecast_operator.reconcile.controller import FleetController

PORT: Final = 8080
LIVENESS_PORT: Final = 8081
# Seconds without a good round of any fleet after which the operator is restarted. Tests set another time and port.
STALLED: Final = 300.0
# Variables that are numbers, with their bounds.
NUMBERS: Final = (
    *(("ROUND_SECONDS", 0.01, 300), ("STALLED_SECONDS", 1, 1e9)),
    *(("PORT", 1, 65_535), ("LIVENESS_PORT", 1, 65_535)),
)
NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
# Seconds until the next look at a cluster that lacks something.
UNFIT_RETRY: Final = 10.0


# Failures during the start are retried soon: kopf would wait for a minute.
@kopf.on.startup(backoff=2)
async def start(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    # Which operator acts is settled by a Lease for each fleet.
    settings.peering.standalone = True
    # No handler here needs these: no finalizer delays the deletion of a SocketFleet or of its namespace.
    settings.persistence.finalizer = "tradecast.dev/operator"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="tradecast.dev", v1=False)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="tradecast.dev")
    # A watch that the API server has forgotten ends after this time, and a new one begins.
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 30
    settings.networking.request_timeout = 30
    # kopf would list namespaces and CRDs first, which it may not, and would retry for a minute before the first fleet.
    settings.scanning.disabled = True
    # An unreachable API server is asked every 5 s, for five minutes.
    settings.networking.error_backoffs = (1, 1, 2, 3, *[5] * 58)
    settings.posting.enabled = False
    for noisy in ("httpx", "kopf.objects"):  # each request, each event
        logging.getLogger(noisy).setLevel(logging.WARNING)
    strict = os.environ.get("STRICT", "").lower() == "true"
    every = float(os.environ.get("ROUND_SECONDS", "5"))
    kubernetes = Kubernetes()
    memo.controller = FleetController(kubernetes, every, strict=strict)
    await memo.controller.start()
    await check_cluster(kubernetes)
    memo.runner = web.AppRunner(create_app(memo.controller), access_log=None)
    await memo.runner.setup()
    await listen_on_host(memo.runner, os.environ.get("HOST", ""), int(os.environ.get("PORT", str(PORT))))


async def check_cluster(kubernetes: Kubernetes) -> None:
    """Raises kopf.TemporaryError with a sentence, which kopf logs: the cluster lacks something."""
    try:
        await check_version(kubernetes)
        await check_definition(kubernetes)
    except ClusterUnfit as unfit:
        raise kopf.TemporaryError(f"{unfit}.", delay=UNFIT_RETRY) from None


async def listen_on_host(runner: web.AppRunner, host: str, port: int) -> None:
    """Listen on a host; if it is empty, on every IPv4 and IPv6 address that the pod has.

    Raises:
        OSError: The port is in use, or there is no such address.
    """
    hosts = (host,) if host else ("0.0.0.0", "::")  # noqa: S104 a pod's own addresses
    failed = 0
    for one in hosts:
        try:
            await web.TCPSite(runner, one, port).start()
        except OSError as error:
            failed += 1
            if failed == len(hosts) or error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise


def find_liveness() -> str:
    """The URL at which kopf answers the kubelet: at the pod's own address, since kopf listens on one family only."""
    address = os.environ.get("POD_IP") or "0.0.0.0"  # noqa: S104 the pod's
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{os.environ.get('LIVENESS_PORT', LIVENESS_PORT)}/healthz"


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    await memo.runner.cleanup()
    await memo.controller.close()


@kopf.on.event(GROUP, VERSION, PLURAL)
async def handle_event(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    body: Any = event["object"]
    if event["type"] == "DELETED":
        memo.controller.remove(body["metadata"]["namespace"], body["metadata"]["name"])
    else:
        memo.controller.update(body)


@kopf.on.probe(id="rounds")
def check_liveness(memo: kopf.Memo, **_: Any) -> float:
    """Seconds since the last good round of any fleet; the probe fails if there are too many."""
    age = float(time.time() - memo.controller.newest_round())
    if age > float(os.environ.get("STALLED_SECONDS", STALLED)):
        raise kopf.PermanentError(f"no good round for {age:.0f} s")
    return age


async def apply_definition(path: Path, *, force: bool) -> str:
    """Bring the CRD up to date: helm installs it once and never changes it. What was done, in a sentence.

    Raises:
        DefinitionRefused: It is not applied; the text says why.
        ClusterUnfit: The cluster is too old.
        httpx.HTTPError: Kubernetes refuses, or does not answer in time.
    """
    body = read_definition(path)
    kubernetes = Kubernetes()
    await kubernetes.start()
    await check_version(kubernetes)
    return await update_definition(kubernetes, body, force=force)


def run_apply(path: Path, *, force: bool) -> None:
    """Apply the CRD, and print what was done. Exits with a sentence if that fails."""
    try:
        sys.stdout.write(f"{asyncio.run(apply_definition(path, force=force))}.\n")
    except (DefinitionRefused, ClusterUnfit) as refused:
        sys.exit(f"Error: {refused}.")
    except httpx.HTTPStatusError as error:
        sys.exit(
            f"Error: Kubernetes answers {error.response.status_code}. To apply the CRD one needs the verbs get, patch "
            f"and create for customresourcedefinitions ({NAME})."
        )
    except (httpx.HTTPError, Conflict, OSError, ValueError) as error:
        sys.exit(f"Error: the CRD was not applied, Kubernetes cannot be reached ({type(error).__name__}). Try again.")


def read_namespaces() -> list[str]:
    """WATCH_NAMESPACES; none: all namespaces. Exits with a sentence if there is no such name."""
    names = list(dict.fromkeys(name.strip() for name in os.environ.get("WATCH_NAMESPACES", "").split(",")))
    for name in names:
        if name and NAMESPACE.fullmatch(name) is None:
            sys.exit(
                f"Error: WATCH_NAMESPACES has {name[:80]!r}, which is no namespace. Names are separated by commas."
            )
    return [name for name in names if name]


def check_numbers() -> None:
    """Exits with a sentence if a variable is not the number that it has to be."""
    for name, least, most in NUMBERS:
        text = os.environ.get(name)
        try:
            wrong = text is not None and not least <= float(text) <= most
        except ValueError:
            wrong = True
        if wrong:
            sys.exit(f"Error: {name} is {text!r}; it must be a number from {least:g} to {most:g}.")


def make_loop() -> asyncio.AbstractEventLoop:
    """An event loop; where there is one, of the kind that needs half the CPU time for thousands of requests."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def main() -> None:
    """Run until SIGTERM; with --apply-crd FILE, apply the CRD and exit."""
    parser = argparse.ArgumentParser(
        prog="tradecast-operator", description="Kubernetes operator for fleets of tradecast servers."
    )
    parser.add_argument(
        "--apply-crd", metavar="FILE", type=Path, help="apply the CustomResourceDefinition in FILE, and exit"
    )
    parser.add_argument("--force", action="store_true", help="with --apply-crd: also replace the CRD of a newer chart")
    arguments = parser.parse_args()
    if arguments.apply_crd:
        run_apply(arguments.apply_crd, force=arguments.force)
        return
    check_numbers()
    namespaces = read_namespaces()
    kopf.configure(verbose=False, log_format=kopf.LogFormat.JSON)
    # The operator's own log lines get kopf's format: structlog's tracebacks would show local variables, also Secrets.
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    kopf.run(
        loop=make_loop(),
        # else kopf asks for the name of the user, which a container's user does not have
        identity=cast(Any, socket.gethostname()),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        liveness_endpoint=find_liveness(),
        memo=kopf.Memo(),
    )
