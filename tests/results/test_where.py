"""Conditions on a table: DuckDB takes the same rows by the same text, and what is wrong is named with its place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmi.results.schema import trials_schema
from vmi.results.where import DEEPEST, LONGEST, where
from vmi.spec.errors import InputError

TEXTS, WHOLE = ("paper", "it's", "", "λ", "and"), (-3, 0, 1, 2, 2**53 + 1, 2**63 - 2, 2**63 - 1)
REAL, TIMES = (-0.5, 0.0, 0.1, 1.0, 4.0), ("2026-01-02 03:04:05", "2026-11-27")
SCHEMA = pa.schema(
    [("text", pa.string()), ("whole", pa.int64()), ("real", pa.float64()), ("time", pa.timestamp("us", tz="UTC"))]
)
ROWS = st.fixed_dictionaries(
    {
        "text": st.sampled_from([None, *TEXTS]),
        "whole": st.sampled_from([None, *WHOLE]),
        "real": st.sampled_from([None, *REAL]),
        "time": st.sampled_from([None, *(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in TIMES)]),
    }
)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


VALUES = {
    "text": st.sampled_from(TEXTS).map(quoted),
    "whole": st.sampled_from([*map(str, WHOLE), "1.5", "-.5", "2e0", "+1"]),
    "real": st.sampled_from([*map(str, REAL), "1", "0.10", "4e0"]),
    "time": st.sampled_from(TIMES).map(quoted),
}


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(SCHEMA.names))
    value = VALUES[name]
    kind = draw(st.sampled_from(["compared", "in", "is"]))
    if kind == "compared":
        return f"{name} {draw(st.sampled_from(['=', '!=', '<', '<=', '>', '>=']))} {draw(value)}"
    if kind == "is":
        return f"{name} {draw(st.sampled_from(['is null', 'IS NOT NULL', 'is Not null']))}"
    listed = ", ".join(draw(st.lists(value, min_size=1, max_size=3)))
    return f"{name} {draw(st.sampled_from(['in', 'NOT IN', 'not in']))} ({listed})"


CONDITIONS = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        inner.map(lambda one: f"({one})"),
        inner.map(lambda one: f"not {one}"),
        st.lists(inner, min_size=2, max_size=3).map(" and ".join),
        st.lists(inner, min_size=2, max_size=3).map(" OR ".join),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'; set threads = 1")
        yield connection


@settings(max_examples=300, deadline=None)
@given(text=CONDITIONS, rows=st.lists(ROWS, max_size=8))
def test_the_rows_are_those_that_duckdb_takes_by_the_same_text(
    database: duckdb.DuckDBPyConnection, text: str, rows: list[dict[str, object]]
) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA).append_column("row", pa.array(range(len(rows)), pa.int64()))
    database.register("rows", table)
    wanted = [row for (row,) in database.execute(f"select row from rows where {text} order by row").fetchall()]
    assert table.filter(where(text, table.schema))["row"].to_pylist() == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a column is expected at the end"),
        ("preset = paper", "at character 10, before 'paper'"),
        ('preset = "paper"', "a number or a 'text' is expected at character 10"),
        ("preset = 'paper", "at character 10"),
        ("preset == 'paper'", "at character 9"),
        ("preset = 'paper' mi_weight = 1", "and, or, or the end is expected at character 18"),
        ("(seed = 1", ") is expected at the end"),
        ("seed in 1", "in (, not in (, is is expected"),
        ("seed in ()", "at character 10"),
        ("seed not 1", "in (, not in (, is is expected at character 10"),
        ("(seed = 1, seed = 2)", ") is expected at character 10"),
        ("seed is 1", "null is expected"),
        ("seed = 1 and", "a column is expected at the end"),
        ("seed = 1; drop table trials", "at character 9"),
        ("seed = 1 -- all", "at character 10"),
        ("abs(seed) = 1", "at character 4"),
        ("__import__('os').system('true') = 1", "at character 11"),
        ("not " * (DEEPEST + 1) + "seed = 1", "brackets and nots"),
        ("(" * 5_000 + "seed = 1", "brackets and nots"),
        ("seed = 1 or " * LONGEST, "at most 10000 characters"),
        ("prest = 'paper'", "did you mean 'preset'?"),
        ("prest is null", "did you mean 'preset'?"),
        ("preset = 1", "preset 1"),
        ("seed = 'one'", "a finite number"),
        (f"seed = {2**63}", "a whole number of at most 64 bits"),
        ("mi_weight = 1e999", "a finite number"),
        ("finished_at > 'yesterday'", "a time in single quotes"),
        ("seed = 1\x1b[2J", "at character 9"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        where(text, trials_schema(["n1+c2*"]))
    assert said in str(refused.value) and "\x1b" not in str(refused.value)


def test_every_wrong_column_and_value_is_named_at_once() -> None:
    with pytest.raises(InputError) as refused:
        where("prest = 'a' or preset = 1 or (sed < 1 and prest in ('a', 'b'))", trials_schema(["n1"]))
    assert [problem.value for problem in refused.value.problems] == ["prest", "preset 1", "sed"]


def test_a_condition_as_long_as_allowed_is_evaluated() -> None:
    text = " or ".join(["seed=1"] * (LONGEST // 10))
    table = pa.Table.from_pylist([{"seed": 1}, {"seed": 2}], schema=trials_schema(["n1"]))
    assert table.filter(where(text, table.schema)).num_rows == 1
