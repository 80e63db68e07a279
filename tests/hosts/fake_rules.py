"""What both model APIs hold their requests to, and how the stand-in makes up arguments."""

import re
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Keywords that neither API takes at the top of a tool's schema.
NOT_AT_THE_TOP = ("oneOf", "anyOf", "allOf", "not", "enum")


class Refused(Exception):
    """The API says no."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def fits(value: object, kind: Any, where: str) -> None:
    """Holds a value against a type of the SDK: everything that it requires is there in the right
    type, and nothing that it doesn't know."""
    if not isinstance(value, dict):
        raise Refused(f"{where}: Input should be an object")
    if unknown := value.keys() - get_type_hints(kind).keys():
        raise Refused(f"{where}.{min(unknown)}: Extra inputs are not permitted")
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (where, *first["loc"]))
        raise Refused(f"{place}: {first['msg']}") from error


def named(name: str, where: str) -> None:
    if not NAME.fullmatch(name):
        raise Refused(f"{where}.name: String should match pattern '^{NAME.pattern}$'")


def schema_of_object(schema: Any, where: str) -> None:
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise Refused(f"{where}: schema must be of type 'object'")
    if not isinstance(schema.get("properties", {}), dict):
        raise Refused(f"{where}.properties: Input should be an object")
    if found := [word for word in NOT_AT_THE_TOP if word in schema]:
        raise Refused(f"{where}: {found[0]} is not supported at the top level")


def unique(names: list[str], where: str) -> None:
    if len(set(names)) != len(names):
        raise Refused(f"{where}: Tool names must be unique")


def made_up(schema: Any) -> Any:
    """The least value that fits a schema of the demo's kind."""
    if not isinstance(schema, dict):
        return "example"
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            members = schema.get("properties", {})
            return {name: made_up(members.get(name)) for name in schema.get("required", [])}
        case "array":
            return [made_up(schema.get("items"))] * schema.get("minItems", 1)
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return "example"
