"""The wiring to kopf, and nothing else: `tradecast-operator`, or `kopf run -m tradecast_operator.main`."""

from __future__ import annotations

import argparse
import asyncio
import errno
import logging
import os
import socket
import time
from pathlib import Path
from typing import Any, Final, cast

import kopf
import structlog
import yaml
from aiohttp import web

from tradecast_operator.endpoint import create_app
from tradecast_operator.kube.client import GROUP, PLURAL, VERSION, Kubernetes
from tradecast_operator.reconcile.controller import Fleets

PORT: Final = 8080
LIVENESS_PORT: Final = 8081
# Seconds without a good round after which the operator is restarted. Tests set another time, and another port.
STALLED: Final = 300.0


# What fails when the operator starts is tried again soon: kopf would wait for a minute.
@kopf.on.startup(backoff=2)
async def start(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    # Who acts is settled by a Lease for each fleet.
    settings.peering.standalone = True
    # No handler here needs them: nothing of ours keeps a SocketFleet or its namespace from going.
    settings.persistence.finalizer = "tradecast.dev/operator"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="tradecast.dev", v1=False)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="tradecast.dev")
    # A watch that the API server forgets is noticed by its end.
    settings.watching.server_timeout = 300
    settings.watching.connect_timeout = 30
    settings.networking.request_timeout = 30
    # kopf would list namespaces and CRDs first. It may not, and would try for a minute before it looks after a fleet.
    settings.scanning.disabled = True
    # An API server that is away is asked every 5 s, for five minutes.
    settings.networking.error_backoffs = (1, 1, 2, 3, *[5] * 58)
    settings.posting.enabled = False
    for noisy in ("httpx", "kopf.objects"):  # each request, each event
        logging.getLogger(noisy).setLevel(logging.WARNING)
    strict = os.environ.get("STRICT", "").lower() == "true"
    memo.fleets = Fleets(every=float(os.environ.get("ROUND_SECONDS", "5")), strict=strict)
    await memo.fleets.start()
    app = create_app(memo.fleets.connections, memo.fleets.metrics, memo.fleets.is_ready)
    memo.runner = web.AppRunner(app, access_log=None)
    await memo.runner.setup()
    await listen(memo.runner, os.environ.get("HOST", ""), int(os.environ.get("PORT", str(PORT))))


async def listen(runner: web.AppRunner, host: str, port: int) -> None:
    """Serve at a host, or where it is empty at every address of the pod, IPv4's and IPv6's, as far as it has them.

    Raises:
        OSError: The port is taken, or there is no such address.
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
    """Where kopf answers the kubelet, which asks at the pod's own address: kopf listens on one family alone."""
    address = os.environ.get("POD_IP") or "0.0.0.0"  # noqa: S104 the pod's
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{os.environ.get('LIVENESS_PORT', LIVENESS_PORT)}/healthz"


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    await memo.runner.cleanup()
    await memo.fleets.close()


@kopf.on.event(GROUP, VERSION, PLURAL)
async def saw(event: kopf.RawEvent, memo: kopf.Memo, **_: Any) -> None:
    body: Any = event["object"]
    if event["type"] == "DELETED":
        memo.fleets.lost(body["metadata"]["namespace"], body["metadata"]["name"])
    else:
        memo.fleets.saw(body)


@kopf.on.probe(id="rounds")
def tell_age(memo: kopf.Memo, **_: Any) -> float:
    """Seconds since any fleet had its last good round; too many, nothing moves at all, and the probe fails."""
    age = float(time.time() - memo.fleets.newest_round())
    if age > float(os.environ.get("STALLED_SECONDS", STALLED)):
        raise kopf.PermanentError(f"no good round for {age:.0f} s")
    return age


async def apply_definition(text: str) -> None:
    """Bring the CRD up to date: helm leaves it as it was first installed."""
    kubernetes = Kubernetes()
    await kubernetes.start()
    await kubernetes.apply_definition(yaml.safe_load(text))


def main() -> None:
    """Run until SIGTERM; or, with --apply-crd FILE, do that and end."""
    parser = argparse.ArgumentParser(prog="tradecast-operator", description="Runs fleets of tradecast servers.")
    parser.add_argument("--apply-crd", metavar="FILE", type=Path, help="make the CRD what the file says, and end")
    arguments = parser.parse_args()
    if arguments.apply_crd:
        asyncio.run(apply_definition(arguments.apply_crd.read_text(encoding="utf-8")))
        return
    namespaces = [name for name in os.environ.get("WATCH_NAMESPACES", "").split(",") if name]
    kopf.configure(verbose=False, log_format=kopf.LogFormat.JSON)
    # The operator's own lines in the same form. structlog's own would show variables beside a traceback, Secrets too.
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    kopf.run(
        # else kopf asks for the user's name, and a container's user has none
        identity=cast(Any, socket.gethostname()),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        liveness_endpoint=find_liveness(),
        memo=kopf.Memo(),
    )
