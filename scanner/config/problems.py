"""What is wrong with a configuration, said so that it can be mended: line, key, expected, found."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from scanner.config.models import Config, Origin, Place
from scanner.config.units import Expected
from scanner.model.errors import ConfigError
from scanner.model.names import display

_SHOWN = 60  # characters of a found value: enough to recognise it
_MOST = 20  # problems told at once

# What pydantic calls an error, and what was expected in our words; {name} is taken from its context.
_EXPECTED = {
    "string_type": "expected text (quote it if it looks like a number)",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "tuple_type": "expected a list",
    "mapping_type": "expected keys and values",
    "dict_type": "expected keys and values",
    "model_type": "expected keys and values",
    "model_attributes_type": "expected keys and values",
    "literal_error": "expected {expected}",
    "greater_than_equal": "expected at least {ge}",
    "greater_than": "expected more than {gt}",
    "less_than_equal": "expected at most {le}",
    "too_short": "expected at least {min_length} entry; leave the key out for the default",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong at one place."""

    place: Place
    text: str


def place_name(place: Place) -> str:
    """A place as people write it: ``volumes[0].path``."""
    name = ""
    for step in place:
        if isinstance(step, int):
            name += f"[{step}]"
        else:
            name += f".{display(step)}" if name else display(step)
    return name


def error_of(origin: Origin, problems: Sequence[Problem], remedy: str = "") -> ConfigError:
    """One error for all problems: a sentence for a single one, a line each for several."""
    ordered = sorted(problems, key=lambda p: origin.line(p.place))
    if len(ordered) == 1:
        problem = ordered[0]
        line = origin.line(problem.place)
        where = [f"{origin.file}:{line}" if line else origin.file, place_name(problem.place)]
        return ConfigError(problem.text, where=": ".join(w for w in where if w), remedy=remedy)
    told = [_line(origin, p) for p in ordered[:_MOST]]
    if len(ordered) > _MOST:
        told.append(f"and {len(ordered) - _MOST} more")
    text = f"{len(ordered)} problems\n  " + "\n  ".join(told)
    return ConfigError(f"{text}\n{remedy}".rstrip(), where=origin.file)


def _line(origin: Origin, problem: Problem) -> str:
    line = origin.line(problem.place)
    name = place_name(problem.place)
    return ": ".join(part for part in (f"line {line}" if line else "", name, problem.text) if part)


def from_validation(error: ValidationError) -> list[Problem]:
    """All errors of the models as problems."""
    found = error.errors(include_url=False)
    return [Problem(tuple(e["loc"]), _text(tuple(e["loc"]), e)) for e in found]


def _text(place: Place, error: Any) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(place)
    if kind == "missing":
        return "this key is required"
    if kind == "value_error":
        cause = context["error"]
        return f"{cause}{_found(place, error['input'])}" if isinstance(cause, Expected) else str(cause)
    expected = _EXPECTED.get(kind)
    text = expected.format(**context) if expected else str(error["msg"])
    return text + _found(place, error["input"])


def _unknown_key(place: Place) -> str:
    known = list(_keys_at(place[:-1]))
    near = difflib.get_close_matches(str(place[-1]), known, n=1)
    if near:
        return f"unknown key; did you mean {near[0]}?"
    return f"unknown key; expected one of {', '.join(known)}"


def _keys_at(place: Place) -> Sequence[str]:
    annotation: Any = Config
    for step in place:
        if isinstance(step, int):
            annotation = typing.get_args(annotation)[0]
        else:
            annotation = annotation.model_fields[step].annotation
    return tuple(annotation.model_fields) if issubclass(annotation, BaseModel) else ()


def _found(place: Place, value: object) -> str:
    """What was found instead; nothing where it could be a secret that stands in the wrong place."""
    key = next((step for step in reversed(place) if isinstance(step, str)), "")
    if key == "url" or key.endswith("_file"):
        return ""
    return f", found {_described(value)}"


def _described(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "a list"
    if isinstance(value, dict):
        return "keys and values"
    text = display(str(value))
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return f"'{text}'" if isinstance(value, str) else text
