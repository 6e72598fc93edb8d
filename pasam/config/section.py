"""What every section of `params.yaml` is made of: a strict model, kinds of values, one wording."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from pasam.errors import ParamsError

T = TypeVar("T")

RENAMED = {
    "lr_drop_every": "lr_step_size",
    "average_decay": "ema_decay",
    "quality_head": "iou_head",
    "draws": "n_resamples",
    "boundary_share": "boundary_fraction",
    "unreviewed_share": "unreviewed_fraction",
    "quarantined_share": "quarantined_fraction",
}
"""Today's names of the keys of earlier versions."""

_TYPES = {"int": "int", "float": "float", "string": "str", "bool": "bool"}


class LackingKeysError(ParamsError):
    """Keys are missing, and none is unknown: a file of a former version, perhaps."""


class Section(BaseModel):
    """A part of `params.yaml`: exactly its keys, no defaults, exact types, never changed.

    A whole number may stand for a float; nothing else stands for anything else, and true and
    false are no numbers.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def replaced(self, **changes: Any) -> Self:
        """Return the same section with some values changed; they are checked as in the file.

        Raises:
            ParamsError: A value is impossible.
        """
        same: Self = checked(type(self), {**dict(self), **changes})
        return same


def require(holds: bool, key: str, value: object, expected: str) -> None:
    """Refuse a section, from one of its validators, unless a value holds."""
    if not holds:
        message = f"{key} is {_plain(value)!r}, expected {expected}."
        raise PydanticCustomError("impossible", "{message}", {"message": message})


def _listed(value: object) -> object:
    """Take YAML's lists for tuples, which cannot be changed."""
    if isinstance(value, list | tuple):
        return tuple(value)
    raise PydanticCustomError("expected", "a list")


def _paired(value: object) -> object:
    if isinstance(value, list | tuple) and len(value) == 2:
        return tuple(value)
    raise PydanticCustomError("expected", "a list of 2")


def _devices(value: object) -> object:
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise PydanticCustomError("expected", "1 or more, or auto")


def within(holds: Callable[[Any], bool], expected: str) -> AfterValidator:
    """Annotate a value that is refused, in these words, unless something holds of it."""

    def check(value: Any) -> Any:
        if not holds(value):
            raise PydanticCustomError("expected", expected)
        return value

    return AfterValidator(check)


def refused(former: Mapping[str, str]) -> BeforeValidator:
    """Annotate a value of which some former ones are refused, each with what to do now."""

    def check(value: object) -> object:
        if isinstance(value, str) and value in former:
            raise PydanticCustomError("expected", "{message}", {"message": former[value]})
        return value

    return BeforeValidator(check)


Listed = Annotated[tuple[T, ...], BeforeValidator(_listed)]
Pair = Annotated[tuple[T, T], BeforeValidator(_paired)]
Natural = Annotated[int, within(lambda value: value >= 0, "0 or more")]
Count = Annotated[int, within(lambda value: value >= 1, "1 or more")]
Devices = Annotated[int | Literal["auto"], BeforeValidator(_devices)]
Positive = Annotated[float, within(lambda value: value > 0, "more than 0")]
NotNegative = Annotated[float, within(lambda value: value >= 0, "0 or more")]
Fraction = Annotated[float, within(lambda value: 0 <= value <= 1, "a fraction, 0 to 1")]
Level = Annotated[float, within(lambda value: 0 < value < 1, "more than 0 and less than 1")]


def checked(kind: Any, values: object, name: str = "") -> Any:
    """Make a section, or whatever pydantic knows, of plain data.

    Args:
        kind: Its class, or its type.
        values: What the file holds.
        name: Where in the file, for the message.

    Raises:
        ParamsError: The first thing that is wrong: where, what was found, what was expected.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        kinds = {fault["type"] for fault in faults}
        is_lacking = "missing" in kinds and "extra_forbidden" not in kinds
        fault = LackingKeysError if is_lacking else ParamsError
        raise fault(_worded(faults, values, name)) from None


def _worded(faults: Sequence[ErrorDetails], values: object, name: str) -> str:
    """Say of pydantic's errors what a person needs: keys that do not fit, or the first value."""
    keys = [f for f in faults if f["type"] in ("missing", "extra_forbidden")]
    if keys:
        place = _places(keys[0], values)[:-1]
        here = [f for f in keys if _places(f, values)[:-1] == place]
        lacking = [str(f["loc"][-1]) for f in here if f["type"] == "missing"]
        unknown = [str(f["loc"][-1]) for f in here if f["type"] == "extra_forbidden"]
        for old in unknown:
            if RENAMED.get(old) in lacking:
                return f"{_key(name, [*place, old])} is called '{RENAMED[old]}' now; rename it."
        given = [str(key) for key in _at(values, place) if str(key) not in unknown]
        return (
            f"section '{_key(name, place)}' lacks {lacking} and has unknown {unknown}. It must "
            f"have exactly {sorted([*given, *lacking])}."
        )
    fault = faults[0]
    key, found = _key(name, _places(fault, values)), _plain(fault["input"])
    if fault["type"] == "impossible":  # a validator's own words, which begin with the key in it
        return f"{key}.{fault['msg']}" if key else fault["msg"]
    if fault["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return f"section '{key}' is {found!r}, expected a mapping."
    if fault["type"].startswith("union_tag"):
        context = fault["ctx"]
        tag = context["discriminator"].strip("'")
        if "expected_tags" not in context:
            return f"section '{key}' lacks '{tag}', which says what kind of model it is."
        tags = context["expected_tags"]
        found = found.get(tag) if isinstance(found, Mapping) else found
        return f"{_key(key, [tag])} is {found!r}, expected one of {_quoted(tags)}."
    return f"{key} is {found!r}, expected {_expected(fault)}."


def _expected(fault: ErrorDetails) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "expected":
        return fault["msg"]
    if kind == "literal_error":
        return f"one of {_quoted(context['expected'])}"
    return _TYPES.get(kind.partition("_")[0], fault["msg"])


def _quoted(text: str) -> list[str]:
    """Take out of pydantic's words the values that it quotes: "'a', 'b' or 'c'"."""
    return re.findall(r"'([^']*)'", text)


def _places(fault: ErrorDetails, values: object) -> list[int | str]:
    """Give the keys down to a fault, without the tag that pydantic puts in at a union."""
    places: list[int | str] = list(fault["loc"])
    if places and isinstance(values, Mapping) and places[0] == values.get("decoder"):
        return places[1:]
    return places


def _at(values: object, places: Sequence[int | str]) -> Any:
    for place in places:
        values = values[place] if isinstance(values, Mapping | list | tuple) else values  # type: ignore[index]
    return values


def _key(name: str, places: Sequence[int | str]) -> str:
    """Write a place in the file as `pretrain.phases[1].steps`."""
    for place in places:
        name += f"[{place}]" if isinstance(place, int) else f".{place}" if name else str(place)
    return name


def _plain(value: object) -> Any:
    """Show tuples as the lists that stand in the file."""
    return list(value) if isinstance(value, tuple) else value
