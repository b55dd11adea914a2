"""A condition on the columns of a table, as SQL has it after WHERE: "preset = 'paper' and not mi_weight in (0, 1)".

    condition = all { or all }   all = term { and term }   term = not term | ( condition ) | column test
    test = one of = != < <= > >=, value | [not] in ( value { , value } ) | is [not] null
    value = a number | 'a text', in which a quote is doubled; a time is such a text, in UTC: '2026-11-27 12:00'

As in SQL, what is compared with null is neither true nor false, and a row is taken where the whole is true. Nothing of
the text is ever run: it has no functions, no arithmetic and no tables.
"""

from __future__ import annotations

import math
import operator as op
import re
from collections.abc import Callable
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from vmi.spec.errors import InputError, Problem, near

LONGEST, DEEPEST = 10_000, 50
_COMPARED = {"=": op.eq, "!=": op.ne, "<": op.lt, "<=": op.le, ">": op.gt, ">=": op.ge}
_VALUE = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?!\w)|'(?:[^']|'')*'"
_TOKEN = re.compile(rf"\s*({_VALUE}|[a-zA-Z_]\w*|[<>!]=|[=<>(),]|\S|$)", re.ASCII)
_NAME = re.compile(r"(?!(?:and|or|not|in|is|null)$)[a-zA-Z_]\w*", re.ASCII | re.IGNORECASE)


def where(
    text: str, columns: pa.Schema, field: str = "--where", allowed: str = "a column of the table"
) -> pc.Expression:
    """The condition as `pyarrow.Table.filter` takes it; `allowed` says what `columns` are.

    Raises InputError on `field`: with the place where it does not parse, or else with every column that is not there
    and every value that is not of its column's type.
    """
    parser = _Parser(text[: LONGEST + 1], columns, field, allowed)
    found = parser.condition() if len(text) <= LONGEST else parser.refuse(f"at most {LONGEST} characters")
    if parser.token:
        parser.refuse("and, or, or the end")
    if parser.wrong:
        raise InputError(dict.fromkeys(parser.wrong))
    return found


class _Parser:
    """Recursive descent: a method for each line of the grammar, over the one token ahead."""

    def __init__(self, text: str, columns: pa.Schema, field: str, allowed: str) -> None:
        self._text, self._columns, self._field, self._allowed = text, columns, field, allowed
        self._tokens = ((found[1], found.start(1)) for found in _TOKEN.finditer(text))
        self.token, self._start = next(self._tokens)
        self._depth, self.wrong = 0, list[Problem]()

    def condition(self) -> pc.Expression:
        return self._joined("or", op.or_, lambda: self._joined("and", op.and_, self._term))

    def _joined(self, word: str, join: Callable[[Any, Any], Any], one: Callable[[], Any]) -> pc.Expression:
        found = one()
        while self._took(word):
            found = join(found, one())
        return found

    def _term(self) -> pc.Expression:
        self._depth += self.token.lower() in ("not", "(")
        if self._depth > DEEPEST:
            self.refuse(f"at most {DEEPEST} brackets and nots")
        if self._took("not"):
            return ~self._term()
        return self._closed(self.condition) if self._took("(") else self._test()

    def _closed(self, one: Callable[[], Any]) -> pc.Expression:
        found = one()
        return found if self._took(")") else self.refuse(")")

    def _test(self) -> pc.Expression:
        name = self._next() if _NAME.fullmatch(self.token) else self.refuse("a column")
        if name not in self._columns.names:
            self.wrong.append(Problem(self._field, name, self._allowed, near(name, self._columns.names)))
        if self._took("is"):
            negated = self._took("not")
            found = pc.field(name).is_null() if self._took("null") else self.refuse("null")
        elif self.token in _COMPARED:
            return self._compared(name, _COMPARED[self._next()])
        else:
            negated = self._took("not")
            if not (self._took("in") and self._took("(")):
                self.refuse("one of = != < <= > >=, in (, not in (, is")
            found = self._closed(lambda: self._joined(",", op.or_, lambda: self._compared(name, op.eq)))
        return ~found if negated else found

    def _compared(self, name: str, compare: Callable[[Any, Any], Any]) -> pc.Expression:
        token = self._next() if re.fullmatch(_VALUE, self.token, re.ASCII) else self.refuse("a number or a 'text'")
        kind = self._columns.field(name).type if name in self._columns.names else None
        value = _value(token, kind) if kind else pa.scalar(None)
        if isinstance(value, str):
            self.wrong.append(Problem(self._field, f"{name} {token}", value))
            return pc.scalar(False)
        # Beside a number with a point Arrow would cast an int64 to float32.
        return compare(pc.field(name) if value.type == kind else pc.field(name).cast(value.type, safe=False), value)

    def _next(self) -> str:
        token, (self.token, self._start) = self.token, next(self._tokens)
        return token

    def _took(self, word: str) -> bool:
        return self.token.lower() == word and bool(self._next())

    def refuse(self, what: str) -> NoReturn:
        rest = self._text[self._start :][:40]
        place = f"at character {self._start + 1}, before {rest!r}" if rest else "at the end"
        raise InputError([Problem(self._field, self._text, f"{what} is expected {place}")])


def _value(token: str, kind: pa.DataType) -> pa.Scalar | str:
    """The value in a type that compares with the column's, or what is allowed in its place."""
    text = token[1:-1].replace("''", "'") if token[0] == "'" else None
    if pa.types.is_string(kind):
        return "a text in single quotes" if text is None else pa.scalar(text)
    if pa.types.is_timestamp(kind):
        try:
            return pa.scalar(text or "").cast(pa.timestamp("us")).cast(kind)
        except pa.ArrowInvalid:
            return "a time in single quotes, such as '2026-11-27 12:00'"
    number = math.nan if text is not None else float(token)
    if not math.isfinite(number):
        return "a finite number"
    if not pa.types.is_integer(kind) or not re.fullmatch(r"[+-]?\d+", token):
        return pa.scalar(number, pa.float64())
    # Beside a float64 an int64 of 19 digits would be met by its neighbours.
    return pa.scalar(int(token), pa.int64()) if abs(int(token)) < 1 << 63 else "a whole number of at most 64 bits"
