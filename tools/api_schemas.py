#!/usr/bin/env python3
"""Writes the JSON schemas that the contract suite holds answers against, from the types of the official packages.

OpenAI's OpenAPI document is not to be had from a package registry, but the packages' types are generated from it. Their
response types are read as they stand in an answer, so that a field without a default is required; descriptions and
titles are left out. Run it in the clients' environment, which holds both packages at the pinned versions:

    .venv-clients/bin/python tools/api_schemas.py

It writes `openai.json`, `anthropic.json` and the names of all request parameters into `tests/fixtures/openapi`.
"""

import json
import typing
from importlib.metadata import version
from pathlib import Path

import anthropic.types
import anthropic.types.shared
import openai.types
import openai.types.chat
import openai.types.responses
import openai.types.shared
import pydantic
import typing_extensions
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import input_token_count_response, response_create_params

OUT = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "openapi"


class OpenAiError(pydantic.BaseModel):
    """The body of a failure: all four keys are there."""

    error: openai.types.shared.ErrorObject


class ModelList(pydantic.BaseModel):
    """What lists models."""

    object: typing.Literal["list"]
    data: list[openai.types.Model]


OPENAI_ANSWERS = {
    "ChatCompletion": openai.types.chat.ChatCompletion,
    "ChatCompletionChunk": openai.types.chat.ChatCompletionChunk,
    "Completion": openai.types.Completion,
    "CreateEmbeddingResponse": openai.types.CreateEmbeddingResponse,
    "Error": OpenAiError,
    "InputTokenCount": input_token_count_response.InputTokenCountResponse,
    "Model": openai.types.Model,
    "ModelList": ModelList,
    "Response": openai.types.responses.Response,
    "ResponseStreamEvent": openai.types.responses.ResponseStreamEvent,
}
ANTHROPIC_ANSWERS = {
    "Error": anthropic.types.shared.ErrorResponse,
    "Message": anthropic.types.Message,
    "MessageTokensCount": anthropic.types.MessageTokensCount,
    "RawMessageStreamEvent": anthropic.types.RawMessageStreamEvent,
}
# What each endpoint takes: a base that lists all but `stream`, which the packages type apart.
REQUESTS = {
    "chat_parameters.json": ("openai", chat_params.CompletionCreateParamsBase),
    "completions_parameters.json": ("openai", openai.types.completion_create_params.CompletionCreateParamsBase),
    "embeddings_parameters.json": ("openai", openai.types.EmbeddingCreateParams),
    "messages_parameters.json": ("anthropic", anthropic.types.message_create_params.MessageCreateParamsBase),
    "responses_parameters.json": ("openai", response_create_params.ResponseCreateParamsBase),
}
# Of the request types, those of one field that both name, not of the whole request.
NOT_STREAMED = {"embeddings_parameters.json"}


def without_notes(node: object, is_schema: bool = True) -> object:
    """A schema without descriptions, titles and defaults; names of properties are kept whatever they are."""
    if isinstance(node, list):
        return [without_notes(item) for item in node]
    if not isinstance(node, dict):
        return node
    notes = {"description", "title", "default", "examples", "discriminator"} if is_schema else set()
    names_below = {"properties", "$defs"}
    return {
        key: value
        if key in ("const", "enum") and is_schema
        else without_notes(value, not (is_schema and key in names_below))
        for key, value in node.items()
        if key not in notes
    }


def document(package: str, answers: dict[str, object]) -> dict:
    """The schemas of all the answers, with what they refer to."""
    adapters = [(name, "serialization", pydantic.TypeAdapter(kind)) for name, kind in answers.items()]
    schemas, common = pydantic.TypeAdapter.json_schemas(adapters, by_alias=True, ref_template="#/$defs/{model}")
    definitions = common["$defs"]
    for (name, _), schema in schemas.items():
        if schema != {"$ref": f"#/$defs/{name}"}:
            assert name not in definitions, name
            definitions[name] = schema
    return {
        "source": f"the types of the Python package {package} {version(package)}",
        "version": version(package),
        "answers": sorted(answers),
        "$defs": without_notes(dict(sorted(definitions.items())), is_schema=False),
    }


def parameters(package: str, kind: type, is_streamed: bool) -> dict:
    """The names of all parameters, in order, and those that a request must have."""
    hints = typing_extensions.get_type_hints(kind, include_extras=True)
    return {
        "source": f"the types of the Python package {package} {version(package)}",
        "version": version(package),
        "required": sorted(
            name for name, hint in hints.items() if typing_extensions.get_origin(hint) is typing_extensions.Required
        ),
        "parameters": sorted(set(hints) | ({"stream"} if is_streamed else set())),
    }


def write(name: str, content: dict) -> None:
    # One definition per line: small, and a change of one shows as one line.
    path = OUT / name
    if definitions := content.pop("$defs", None):
        head = json.dumps(content, ensure_ascii=False, indent=1)[:-2]
        lines = ",\n".join(
            f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in definitions.items()
        )
        text = f'{head},\n "$defs": {{\n{lines}\n }}\n}}\n'
    else:
        text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    path.write_text(text)
    print(f"{path.name}: {len(text)} bytes")


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    write("openai.json", document("openai", OPENAI_ANSWERS))
    write("anthropic.json", document("anthropic", ANTHROPIC_ANSWERS))
    for name, (package, kind) in REQUESTS.items():
        write(name, parameters(package, kind, name not in NOT_STREAMED))


if __name__ == "__main__":
    main()
