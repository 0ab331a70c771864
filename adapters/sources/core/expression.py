"""Expressions: a text made of a row's columns. Small on purpose: no loops, no arithmetic, nothing that runs code.

    88.118.1001/{serial}                       text, and the text of a column
    {made | date '%Y/%m/%d' | format '%Y%m%d'} steps, from left to right
    {state | trim | map states}                a table of the profile
    {voltage | default '10'} kV                what stands for an empty cell
    {'rated | kV'} {{ }}                       a column with signs in its name; braces

An empty column without a default makes the whole text *nothing*: what is made of it is then left out if it may be, and
otherwise the row is faulty. `STEPS` lists the steps; `README.md` describes them. What can be wrong with an expression itself
is said when the profile is read (`ValueError`); what is wrong with a row is a `ValueError` when its text is made.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from adapters.sources.core.cells import Cells, text_of

# An expression is written by hand, and read with every row.
MAX_EXPRESSION_CHARS: Final = 2_048
MAX_STEPS: Final = 16

# Serial numbers are padded to some ten digits; a wider cell is a slip.
MAX_WIDTH: Final = 64
MAX_DECIMALS: Final = 12

Maps = Mapping[str, Mapping[str, str]]
"""The tables of a profile: text for text; what stands under `*` is for any other text."""

Apply = Callable[[object], object]

_ANY: Final = "*"

# Without names of months and days: those depend on the machine's language.
_DIRECTIVES: Final = frozenset("YmdHMSfyjz%")
_OF_TIME: Final = frozenset("HMSfz")
_SAMPLE: Final = datetime(2026, 11, 25, 13, 45, 59, tzinfo=UTC)

_TOKEN: Final = re.compile(r"\s*(?:'((?:[^']|'')*)'|(\|)|([^\s|']+))")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a placeholder."""

    name: str
    apply: Apply


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A column with its steps. A `default` among them stands for an empty cell from there on."""

    column: str
    steps: tuple[Step, ...]

    def value(self, cells: Cells) -> object:
        """What the steps make of the column's cell; None if it is empty. Raises `ValueError` that names the column."""
        found = cells.get(self.column)
        try:
            for step in self.steps:
                if _is_empty(found) == (step.name == "default"):
                    found = step.apply(found)
        except ValueError as error:
            raise ValueError(f"column {self.column}: {error}") from None
        return None if _is_empty(found) else found


@dataclass(frozen=True, slots=True)
class Expression:
    """Literal texts and placeholders, in order."""

    parts: tuple[str | Placeholder, ...]

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it names."""
        return frozenset(part.column for part in self.parts if isinstance(part, Placeholder))

    def text(self, cells: Cells) -> str | None:
        """The text for a row; None if a column of it is empty. Raises `ValueError`."""
        texts = []
        for part in self.parts:
            if isinstance(part, str):
                texts.append(part)
                continue
            value = part.value(cells)
            try:
                text = text_of(value)
            except ValueError as error:
                raise ValueError(f"column {part.column}: {error}") from None
            if text is None:
                return None
            texts.append(text)
        return "".join(texts) or None

    def member(self, cells: Cells) -> object:
        """The same for a member of a JSON object: a number or a flag stays one if the expression is nothing but it."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Placeholder):
            value = self.parts[0].value(cells)
            if isinstance(value, bool | int):
                return value
            if isinstance(value, Decimal) and value.is_finite():
                return _number_in_json(value)
        return self.text(cells)


def parse_expression(text: str, maps: Maps) -> Expression:
    """The expression that `text` says; `maps` are those that it may name. Raises `ValueError`."""
    if len(text) > MAX_EXPRESSION_CHARS:
        raise ValueError(f"an expression is at most {MAX_EXPRESSION_CHARS} characters long")
    parts: list[str | Placeholder] = []
    literal, at = "", 0
    while at < len(text):
        char = text[at]
        if char in "{}" and text[at : at + 2] == char * 2:
            literal, at = literal + char, at + 2
        elif char == "{":
            end = _closing(text, at + 1)
            if literal:
                parts.append(literal)
            parts.append(_placeholder(text[at + 1 : end], maps))
            literal, at = "", end + 1
        elif char == "}":
            raise ValueError("a } without its {; a brace as text is written twice")
        else:
            literal, at = literal + char, at + 1
    if literal:
        parts.append(literal)
    return Expression(tuple(parts))


def _closing(text: str, at: int) -> int:
    """Where the placeholder that begins at `at` ends: at the first } outside of quotes."""
    is_quoted = False
    for place in range(at, len(text)):
        if text[place] == "'":
            is_quoted = not is_quoted
        elif text[place] == "}" and not is_quoted:
            return place
    raise ValueError("a { without its }; a brace as text is written twice")


def _placeholder(text: str, maps: Maps) -> Placeholder:
    column, *rest = _split(text)
    if len(column) != 1:
        raise ValueError(f"{{{text}}}: the name of a column is wanted, in ' ' if it has blanks")
    if len(rest) > MAX_STEPS:
        raise ValueError(f"{{{text}}}: at most {MAX_STEPS} steps")
    return Placeholder(column[0], tuple(_step(words, maps) for words in rest))


def _split(text: str) -> list[list[str]]:
    """The words of a placeholder, parted by |."""
    found: list[list[str]] = [[]]
    at, end = 0, len(text.rstrip())
    while at < end:
        token = _TOKEN.match(text, at, end)
        if token is None:
            raise ValueError(f"{{{text}}}: a ' without its second")
        quoted, bar, bare = token.groups()
        if bar:
            found.append([])
        else:
            found[-1].append(bare if bare is not None else quoted.replace("''", "'"))
        at = token.end()
    return found


def _step(words: Sequence[str], maps: Maps) -> Step:
    if not words or words[0] not in STEPS:
        raise ValueError(f"{' '.join(words) or 'nothing'}: a step is one of {', '.join(sorted(STEPS))}")
    name, *arguments = words
    least, most, make = STEPS[name]
    if not least <= len(arguments) <= most:
        wanted = str(least) if least == most else f"{least} or {most}"
        raise ValueError(f"{name}: {wanted} arguments are wanted, each in ' '")
    return Step(name, make(arguments, maps))


def _is_empty(cell: object) -> bool:
    return cell is None or cell == ""


def _on_text(change: Callable[[str], object]) -> Callable[[Sequence[str], Maps], Apply]:
    """A step without arguments that works on text."""
    return lambda _, __: lambda cell: change(text_of(cell) or "")


def _make_default(arguments: Sequence[str], _: Maps) -> Apply:
    return lambda _: arguments[0]


def _make_map(arguments: Sequence[str], maps: Maps) -> Apply:
    name = arguments[0]
    if name not in maps:
        raise ValueError(f"there is no map {name}; there are {', '.join(sorted(maps)) or 'none'}")
    table = maps[name]

    def apply(cell: object) -> object:
        text = text_of(cell) or ""
        if text in table:
            return table[text]
        if _ANY in table:
            return table[_ANY]
        raise ValueError(f'"{text}" is not in the map {name}')

    return apply


def _make_date(arguments: Sequence[str], _: Maps) -> Apply:
    form = arguments[0]
    if form in _EPOCHS:
        return lambda cell: _since_1970(cell, _EPOCHS[form])
    if form != "iso":
        _check_date_format(form, is_read=True)
    has_time = form == "iso" or any(f"%{directive}" in form for directive in _OF_TIME)

    def apply(cell: object) -> object:
        if isinstance(cell, date):  # and datetime, which is one
            return cell
        text = text_of(cell) or ""
        try:
            if form == "iso":
                return datetime.fromisoformat(text) if len(text) > _DATE_CHARS else date.fromisoformat(text)
            found = datetime.strptime(text, form)  # noqa: DTZ007 # whether it has a zone is the format's business
        except ValueError:
            raise ValueError(f'"{text}" is no date of the form {form}') from None
        return found if has_time else found.date()

    return apply


_DATE_CHARS: Final = len("2026-11-25")
_EPOCHS: Final = {"seconds": 1, "milliseconds": 1000}


def _since_1970(cell: object, per_second: int) -> object:
    if isinstance(cell, date):
        return cell
    try:
        return datetime.fromtimestamp(float(_number(cell)) / per_second, UTC)
    except (OverflowError, OSError):
        raise ValueError(f"{cell} is no time") from None


def _make_format(arguments: Sequence[str], _: Maps) -> Apply:
    form = arguments[0]
    _check_date_format(form, is_read=False)

    def apply(cell: object) -> object:
        if not isinstance(cell, date):
            raise ValueError("it is no date: the step date makes one of a text")
        return cell.strftime(form)

    return apply


def _check_date_format(form: str, *, is_read: bool) -> None:
    unknown = [each for each in re.findall(r"%(.?)", form.replace("%%", "")) if each not in _DIRECTIVES]
    if unknown or "%" not in form:
        raise ValueError(f"{form}: a form of dates has some of %Y %m %d %H %M %S %f %y %j %z")
    if is_read:
        try:
            datetime.strptime(_SAMPLE.strftime(form), form)  # noqa: DTZ007 # it is only tried
        except (ValueError, re.error):
            raise ValueError(f"{form}: nothing of this form can be read as a date") from None


def _number(cell: object) -> Decimal:
    if isinstance(cell, bool):
        raise ValueError("it is no number but true or false")
    text = (text_of(cell) or "").strip()
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f'"{text}" is no number')
    return number


def _make_number(arguments: Sequence[str], _: Maps) -> Apply:
    if not arguments:
        return _number
    places = Decimal(1).scaleb(-_count(arguments[0], MAX_DECIMALS))

    def apply(cell: object) -> object:
        try:
            return _number(cell).quantize(places)
        except InvalidOperation:
            raise ValueError(f'"{cell}" is too large a number') from None

    return apply


def _integer(cell: object) -> object:
    number = _number(cell)
    if number != number.to_integral_value() or abs(number.adjusted()) > MAX_WIDTH:
        raise ValueError(f'"{cell}" is no whole number')
    return int(number)


def _count(text: str, most: int) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > most:
        raise ValueError(f"{text}: a number from 0 to {most} is wanted")
    return int(text)


def _make_pad(arguments: Sequence[str], _: Maps) -> Apply:
    width = _count(arguments[0], MAX_WIDTH)
    return lambda cell: (text_of(cell) or "").rjust(width, "0")


def _make_first(arguments: Sequence[str], _: Maps) -> Apply:
    count = _count(arguments[0], MAX_WIDTH)
    return lambda cell: (text_of(cell) or "")[:count]


def _make_last(arguments: Sequence[str], _: Maps) -> Apply:
    count = _count(arguments[0], MAX_WIDTH)
    return lambda cell: (text_of(cell) or "")[-count:] if count else ""


def _make_replace(arguments: Sequence[str], _: Maps) -> Apply:
    old, new = arguments
    if not old or len(new) > MAX_WIDTH:
        raise ValueError(f"replace: a text to replace, and at most {MAX_WIDTH} characters in its place, are wanted")
    return lambda cell: (text_of(cell) or "").replace(old, new)


def _number_in_json(found: object) -> int | float:
    """A decimal number as JSON has it, which a reader of JSON makes of the digits that a source wrote."""
    if not isinstance(found, Decimal) or not found.is_finite():
        raise TypeError
    return int(found) if found.as_tuple().exponent == 0 else float(found)


def _json(cell: object) -> object:
    try:
        return json.dumps(cell, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_number_in_json)
    except (TypeError, ValueError):
        raise ValueError("it cannot be said in JSON") from None


STEPS: Final[Mapping[str, tuple[int, int, Callable[[Sequence[str], Maps], Apply]]]] = {
    "trim": (0, 0, _on_text(str.strip)),
    "upper": (0, 0, _on_text(str.upper)),
    "lower": (0, 0, _on_text(str.lower)),
    "fold": (0, 0, _on_text(lambda text: unicodedata.normalize("NFKC", text))),
    "default": (1, 1, _make_default),
    "map": (1, 1, _make_map),
    "replace": (2, 2, _make_replace),
    "pad": (1, 1, _make_pad),
    "first": (1, 1, _make_first),
    "last": (1, 1, _make_last),
    "number": (0, 1, _make_number),
    "integer": (0, 0, lambda _, __: _integer),
    "date": (1, 1, _make_date),
    "format": (1, 1, _make_format),
    "json": (0, 0, lambda _, __: _json),
}
"""The steps: the least and the most arguments, and what makes one of them."""
