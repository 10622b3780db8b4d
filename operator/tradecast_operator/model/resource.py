"""A SocketFleet as the API server has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tradecast_operator.model.spec import Spec

# The annotation with which a person pauses a fleet.
PAUSED: Final = "tradecast.dev/paused"


class SpecInvalid(Exception):
    """A SocketFleet's spec is invalid, which its author has to correct; the text says why."""


class FleetResource:
    """A SocketFleet, whose body changes with each event and each status that is written.

    Attributes:
        body: The resource as it is now.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.namespace: str = body["metadata"]["namespace"]
        self.name: str = body["metadata"]["name"]

    @property
    def uid(self) -> str:
        return str(self.body["metadata"]["uid"])

    @property
    def deployment(self) -> str:
        """The name of its Deployment, even where the rest of the spec is invalid; empty: none."""
        spec = self.body.get("spec")
        return str(spec.get("deployment", "")) if isinstance(spec, dict) else ""

    @property
    def seniority(self) -> tuple[str, str]:
        """Creation time and uid: of two fleets the one with the smaller value is the older one."""
        metadata = self.body["metadata"]
        return metadata.get("creationTimestamp", ""), metadata["uid"]

    @property
    def status(self) -> Mapping[str, Any]:
        status: Mapping[str, Any] = self.body.get("status", {})
        return status

    def update(self, body: dict[str, Any]) -> bool:
        """Take a new body; whether it asks for something else."""
        before, self.body = self.body, body
        generations = [one["metadata"].get("generation") for one in (before, body)]
        return generations[0] != generations[1] or is_paused(before) != is_paused(body)

    def set_status(self, changes: Mapping[str, Any]) -> None:
        """Take over what has been written into the status."""
        self.body = {**self.body, "status": {**self.status, **changes}}


def read_spec(body: Mapping[str, Any]) -> Spec:
    """The spec of a SocketFleet. Raises SpecInvalid."""
    try:
        return Spec.of(body["spec"])
    except (KeyError, ValueError) as error:
        raise SpecInvalid(f"the SocketFleet's spec is invalid: {error}") from None


def is_paused(body: Mapping[str, Any]) -> bool:
    """Whether a person has paused the SocketFleet."""
    return str((body["metadata"].get("annotations") or {}).get(PAUSED)).lower() == "true"


def read_last_mode(body: Mapping[str, Any]) -> str:
    """The modes of the servers in the status; empty: none."""
    return str(body.get("status", {}).get("mode", ""))


def list_conditions(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The conditions in the status."""
    conditions: Sequence[Mapping[str, Any]] = body.get("status", {}).get("conditions", [])
    return conditions
