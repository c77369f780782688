"""Dataclasses from JSON objects of strangers, with the types that their fields declare."""

import math
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin

PartT = TypeVar("PartT")


def part(kind: type[PartT], value: Any) -> PartT:
    """Raises TypeError where a name or a type differs from what the dataclass `kind` declares."""
    assert is_dataclass(kind)
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.60} is no object")
    declared = {field.name: field.type for field in fields(kind)}
    fitted = dict(value)
    for name in declared.keys() & fitted.keys():
        try:
            fitted[name] = _fitted(fitted[name], declared[name])
        except TypeError:
            raise TypeError(f"{name} is {fitted[name]!r:.60}") from None
    return kind(**fitted)


def _fitted(value: Any, declared: Any) -> Any:
    origin, arguments = get_origin(declared), get_args(declared)
    if declared is float:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    elif origin is UnionType:
        (wanted,) = (argument for argument in arguments if argument is not type(None))
        return None if value is None else _fitted(value, wanted)
    elif origin is Literal:
        if value in arguments:
            return value
    elif origin is dict:
        if isinstance(value, dict):
            return {key: _fitted(inner, arguments[1]) for key, inner in value.items()}
    elif isinstance(value, declared):
        return value
    raise TypeError
