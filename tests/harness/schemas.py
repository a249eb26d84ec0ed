"""The published schemas of answers, the schemas to hold answers to, and what is checked of a string's format."""

import ipaddress
import json
import re
from functools import cache
from pathlib import Path

import jsonschema

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
_DATE = r"\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|[12]\d))"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[zZ]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# What RFC 3339 and its kin say of the letters; that February ends a day early in most years is left aside.
_PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": rf"{_DATE}[Tt ]{_TIME}",
    "duration": r"P(?!$)(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?|P\d+W",
    "email": r"[^@\s]+@[^@\s]+",
    "hostname": rf"{_LABEL}(?:\.{_LABEL})*",
    "uuid": r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    "uri": r"[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]*",
}
FORMATS = jsonschema.FormatChecker(formats=())
for _name, _pattern in _PATTERNS.items():
    FORMATS.checks(_name)(lambda value, p=re.compile(_pattern): not isinstance(value, str) or bool(p.fullmatch(value)))
for _name, _kind in {"ipv4": ipaddress.IPv4Address, "ipv6": ipaddress.IPv6Address}.items():
    FORMATS.checks(_name, raises=ValueError)(lambda value, k=_kind: not isinstance(value, str) or bool(k(value)))


def check(schema: dict, value: object) -> None:
    """Fails with the place and the reason where `value` is not what `schema` allows."""
    validator = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
    if error := jsonschema.exceptions.best_match(validator.iter_errors(value)):
        told = json.dumps(error.instance, ensure_ascii=False)[:400]
        raise AssertionError(f"{error.json_path}: {error.message[:400]}\nin {told}")


@cache
def _definitions(package: str) -> dict:
    return json.loads((FIXTURES / "openapi" / f"{package}.json").read_text())["$defs"]


@cache
def _validator(package: str, name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": _definitions(package)})


def _event_of(package: str, union: str, kind: str) -> str:
    """The one of a union's types whose `type` is `kind`: a failure then names the field, not the union."""
    definitions = _definitions(package)
    names = [option["$ref"].rsplit("/", 1)[-1] for option in definitions[union]["anyOf"]]
    [name] = [name for name in names if definitions[name]["properties"]["type"].get("const") == kind] or [None]
    assert name, f"{union} has no type {kind!r}"
    return name


def check_answer(name: str, value: object, package: str = "openai") -> None:
    """Fails where an answer is not of the type that the official package names `name`."""
    if name.endswith("StreamEvent"):
        name = _event_of(package, name, value["type"])
    if error := jsonschema.exceptions.best_match(_validator(package, name).iter_errors(value)):
        told = json.dumps(error.instance, ensure_ascii=False)[:400]
        raise AssertionError(f"{name} {error.json_path}: {error.message[:400]}\nin {told}")


def parameters(endpoint: str) -> list[str]:
    """The names of all parameters that the official package sends to an endpoint."""
    return json.loads((FIXTURES / "openapi" / f"{endpoint}_parameters.json").read_text())["parameters"]


def real_world() -> list[dict]:
    """Schemas as applications send them: `name`, `schema` and an `example` that satisfies it."""
    lines = (FIXTURES / "schemas" / "real_world.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def hostile() -> dict[str, str]:
    """The JSON of each hostile schema by its name."""
    texts = {}
    for line in (FIXTURES / "schemas" / "hostile.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if "schema" in entry:
            texts[entry["name"]] = json.dumps(entry["schema"])
        else:
            pieces = []
            for text, times in entry["parts"]:
                is_numbered = "{i}" in text or "{j}" in text
                turns = range(times) if is_numbered else ()
                pieces += [text.replace("{i}", str(i)).replace("{j}", str(i + 1)) for i in turns]
                pieces += [] if is_numbered else [text * times]
            texts[entry["name"]] = "".join(pieces)
    return texts
