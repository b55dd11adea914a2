"""Layouts: the grammar, the position of what is wrong, and names of blocks."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmi.spec import layout as latents
from vmi.spec.errors import InputError

blocks = st.builds(
    lambda kind, size, star: f"{kind}{size}{star}",
    st.sampled_from("nc"),
    st.integers(2, latents.MAX_SIZE),
    st.sampled_from(["", "*"]),
)


@given(st.lists(blocks, min_size=1, max_size=6))
def test_a_layout_prints_back_as_it_was_read(pieces: list[str]) -> None:
    text = "+".join(pieces)
    layout = latents.parse(text)
    assert str(layout) == text
    assert latents.parse(str(layout)) == layout
    assert len({block.name for block in layout.blocks}) == len(pieces)
    assert layout.width == sum(block.size for block in layout.blocks)


@given(st.one_of(st.text(), st.text(alphabet="nc0123456789+*"), st.none(), st.integers(), st.binary()))
def test_parse_raises_nothing_but_input_error(text: object) -> None:
    try:
        layout = latents.parse(text)  # type: ignore[arg-type]
    except InputError as error:
        assert error.problems[0].field == "layout"
    else:
        assert str(layout) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least one block"),
        ("n0", "bad block 'n0' at position 0"),
        ("c1", "bad block 'c1' at position 0"),
        ("x3", "bad block 'x3' at position 0"),
        ("n16+", "bad block '' at position 4"),
        ("n16++c10", "bad block '' at position 4"),
        ("n16+c10**", "bad block 'c10**' at position 4"),
        ("c10**", "bad block 'c10**' at position 0"),
        ("n-1", "bad block 'n-1'"),
        ("n1_0", "bad block 'n1_0'"),
        ("n٣", "bad block 'n٣'"),
        ("n016", "bad block 'n016'"),
        ("n16 +c10", "bad block 'n16 '"),
        ("n16+c10*\n", "bad block"),
        ("n999999", "GB per trial"),
        ("n16+n999999", "at position 4 is too large: at most 4096"),
        ("n" + "9" * 5000, "too large"),
        ("c" + "9" * 5000, "too large"),
    ],
)
def test_a_bad_layout_names_position_and_grammar(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        latents.parse(text)
    message = str(caught.value)
    assert said in message
    assert "blocks joined by '+'" in message or "too large" in message
    assert len(message) < 500


def test_blocks_of_one_size_have_different_names() -> None:
    layout = latents.parse("c10*+c10+n2")
    assert [block.name for block in layout.blocks] == ["c10", "c10_2", "n2"]


def test_the_primary_block_is_the_informed_one() -> None:
    layout = latents.parse("c2+c10*+n3")
    assert layout.primary("c") == layout.blocks[1]
    assert layout.primary("n") == layout.blocks[2]
    assert latents.parse("n3").primary("c") is None


def test_sizes_of_heads_and_entropy_caps() -> None:
    normal, categorical = latents.parse("n3+c8").blocks
    assert (normal.parameters, categorical.parameters) == (6, 8)
    assert categorical.max_entropy_nats == pytest.approx(math.log(8))
    assert normal.max_entropy_nats == math.inf
