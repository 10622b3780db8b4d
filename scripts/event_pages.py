"""docs/events.schema.json, docs/events.d.ts and docs/asyncapi.yaml, from the models of tradecast's contract."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tradecast.events.contract import CLIENT_EVENTS, SERVER_EVENTS, Failure
from tradecast.events.emit_requests import Batch

MADE = "Written by `make docs` from app/tradecast/events/contract.py, payloads.py and publish.py: change it there."
Schema = Mapping[str, Any]


@cache
def _models() -> tuple[dict[Any, str], dict[str, Any]]:
    """Each model's name, and JSON Schema by name."""
    models: list[type[BaseModel]] = [*SERVER_EVENTS.values(), Failure, Batch]
    models += [request.payload for request in CLIENT_EVENTS.values()]
    unique = list(dict.fromkeys(models))
    references, schema = models_json_schema([(model, "validation") for model in unique], ref_template="#/$defs/{model}")
    names = {model: str(found["$ref"]).rpartition("/")[2] for (model, _), found in references.items()}
    return names, schema["$defs"]


def definitions() -> dict[str, Any]:
    """JSON Schema of every model, by its name."""
    found: dict[str, Any] = _tidy(_models()[1])
    return dict(sorted(found.items()))


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Where a model is."""
    return {"$ref": f"#/$defs/{_models()[0][model]}"}


def _tidy(schema: Any) -> Any:
    """Without titles that repeat names, and without defaults: what is not sent is not there."""
    if isinstance(schema, list):
        return [_tidy(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: _tidy(value) for key, value in schema.items()}
    if "type" in out or "anyOf" in out or "$ref" in out or "const" in out:
        if isinstance(out.get("title"), str):
            del out["title"]
        if out.get("default", ...) is None:
            del out["default"]
    return out


# -- JSON Schema


def schema_page() -> str:
    """All of it, and what each event carries."""

    def events(found: Mapping[str, type[BaseModel]], about: str) -> dict[str, Any]:
        properties = {event: reference(model) for event, model in found.items()}
        return {"description": about, "type": "object", "properties": properties, "additionalProperties": False}

    requests = {event: request.payload for event, request in CLIENT_EVENTS.items()}
    page = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": MADE,
        "title": "tradecast's events",
        "anyOf": [{"$ref": "#/$defs/ServerToClient"}, {"$ref": "#/$defs/ClientToServer"}],
        "$defs": {
            "ServerToClient": events(SERVER_EVENTS, "By an event's name, its first argument, from the server"),
            "ClientToServer": events(requests, "By an event's name, its first argument, from a client"),
            **definitions(),
        },
    }
    return json.dumps(page, indent=2, ensure_ascii=False) + "\n"


# -- TypeScript

TYPES_HEAD = f"""\
// {MADE}
//
//   import {{ io, type Socket }} from "socket.io-client";
//   import type {{ ClientToServerEvents, ServerToClientEvents }} from "./events";
//   const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io(url, {{ auth }});
"""


def types_page() -> str:
    """Every model as an interface, and the two maps of events that socket.io-client takes."""
    parts = [TYPES_HEAD]
    for name, schema in definitions().items():
        parts.append(f"\n{_comment(schema, '')}export {_declared(name, schema)}\n")
    parts.append("\n/** What comes from the server. A further argument that recovery may add can be ignored. */\n")
    parts.append("export interface ServerToClientEvents {\n")
    parts += [f'  "{event}": (message: {_type(reference(model))}) => void;\n' for event, model in SERVER_EVENTS.items()]
    parts.append("}\n\n/** What a client may ask for; the last argument gets the answer. */\n")
    parts.append("export interface ClientToServerEvents {\n")
    for event, request in CLIENT_EVENTS.items():
        payload = _type(reference(request.payload))
        answer = f"answer?: (answer: {_type(reference(request.answer))} | Failure) => void"
        given = f"payload: {payload}" if request.required else f"payload?: {payload} | null"
        parts.append(f"  /** {request.does}. */\n")
        parts.append(f'  "{event}": ({given}, {answer}) => void;\n')
    parts.append("}\n")
    return "".join(parts)


def _declared(name: str, schema: Schema) -> str:
    if schema.get("type") != "object":
        return f"type {name} = {_type(schema)};"
    return f"interface {name} {{\n{''.join(_fields(schema))}}}"


def _fields(schema: Schema) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        yield f"{_comment(field, '  ')}  {name}{'' if name in required else '?'}: {_type(field)};\n"
    if schema.get("additionalProperties", True):
        yield "  [more: string]: unknown;\n"


def _comment(schema: Schema, indent: str) -> str:
    text = " ".join(str(schema.get("description", "")).split())
    return f"{indent}/** {text} */\n" if text else ""


WORDS = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(one) for one in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(dict.fromkeys(_type(one) for one in schema[key]))
    kind = schema.get("type")
    if kind == "array":
        inner = _type(schema.get("items", {}))
        return f"({inner})[]" if " " in inner else f"{inner}[]"
    if kind is None:
        return "unknown"
    return WORDS.get(kind, "{ [more: string]: unknown }")


# -- AsyncAPI


def asyncapi_page() -> str:
    """AsyncAPI 3: one channel, the namespace `/`, and its messages."""
    messages: dict[str, Any] = {}
    for event, model in SERVER_EVENTS.items():
        messages[_id(event)] = {"name": event, "summary": _summary(model), "payload": _at_schemas(reference(model))}
    for event, request in CLIENT_EVENTS.items():
        payload = _at_schemas(reference(request.payload))
        messages[_request_id(event)] = {"name": event, "summary": request.does, "payload": payload}
    on_channel = "#/channels/main/messages/"
    operations: dict[str, Any] = {
        "fromServer": {
            "action": "send",
            "channel": {"$ref": "#/channels/main"},
            "summary": "What the server sends to clients",
            "messages": [{"$ref": on_channel + _id(event)} for event in SERVER_EVENTS],
        }
    }
    for event, request in CLIENT_EVENTS.items():
        answers = (request.confirmation, "error")
        operations[f"on{_id(event)[0].upper()}{_id(event)[1:]}"] = {
            "action": "receive",
            "channel": {"$ref": "#/channels/main"},
            "summary": request.does,
            "messages": [{"$ref": on_channel + _request_id(event)}],
            "reply": {
                "channel": {"$ref": "#/channels/main"},
                "messages": [{"$ref": on_channel + _id(answer)} for answer in answers],
            },
        }
    page = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "tradecast",
            "version": "1",
            "description": "Events over Socket.IO v5. The message's name is the event's, its payload the first "
            "argument. Answers come as events of their own, and through the acknowledgement.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "main": {
                "address": "/",
                "title": "The main namespace",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": operations,
        "components": {"messages": messages, "schemas": _at_schemas(definitions())},
    }
    return f"# {MADE}\n" + yaml.safe_dump(page, sort_keys=False, allow_unicode=True, width=120)


def _id(event: str) -> str:
    first, *rest = event.split(":")
    return first + "".join(part.capitalize() for part in rest)


def _request_id(event: str) -> str:
    """Of what a client sends; an answer may have the same name."""
    return _id(event) + ("Request" if event in SERVER_EVENTS else "")


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _at_schemas(schema: Any) -> Any:
    """The same with references as AsyncAPI has them."""
    if isinstance(schema, list):
        return [_at_schemas(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: _at_schemas(value) for key, value in schema.items()}
    if isinstance(out.get("$ref"), str):
        out["$ref"] = out["$ref"].replace("#/$defs/", "#/components/schemas/")
    discriminator = out.get("discriminator")
    if isinstance(discriminator, dict):  # AsyncAPI wants the property's name there
        out["discriminator"] = discriminator["propertyName"]
    return out
