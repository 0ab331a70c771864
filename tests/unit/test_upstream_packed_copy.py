"""A copy as bytes in a shared cache: both ways, cut at every byte, and with anything else in its place."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.errors import Reason, Refusal
from proto.model.value import Value
from resolver.upstream.copies import Copy, Kind, copy_of
from resolver.upstream.packed_copy import MAX_COPY_BYTES, pack_copy, unpack_copy
from tests.support.foreign_node import packed

COPY = copy_of(
    Kind.FOUND,
    1_000,
    2_000,
    3_000,
    "99.1/x",
    7,
    packed(Value(1, "URL", b"u"), Value(2, "TITLE", "变压器".encode())),
    "88.1/y",
    True,
)
MOMENTS = st.integers(0, 2**64 - 1)
VALUES = st.lists(
    st.builds(Value, st.integers(1, 2**32 - 1), st.text(min_size=1, max_size=9), st.binary(max_size=50)), max_size=3
)
COPIES = st.builds(
    copy_of, st.sampled_from(Kind), MOMENTS, MOMENTS, MOMENTS, st.text(max_size=20), MOMENTS,
    VALUES.map(lambda values: packed(*values)), st.text(max_size=20), st.booleans(),
)  # fmt: skip


@given(COPIES)
def test_what_was_packed_is_unpacked(copy: Copy) -> None:
    assert unpack_copy(pack_copy(copy)) == copy


def test_the_form_is_the_agreed_one() -> None:
    plain = copy_of(Kind.NOT_FOUND, 1, 2, 3)
    assert pack_copy(plain).hex() == "010300" + "000000000000000100000000000000020000000000000003" + "00" * 8 + "00" * 12


@pytest.mark.parametrize("end", range(len(pack_copy(COPY))))
def test_a_part_of_a_copy_is_none(end: int) -> None:
    with pytest.raises(Refusal) as caught:
        unpack_copy(pack_copy(COPY)[:end])
    assert caught.value.reason is Reason.MALFORMED_MESSAGE


@pytest.mark.parametrize(
    "raw",
    [
        b"\x02" + pack_copy(COPY)[1:],
        pack_copy(COPY)[:1] + b"\x09" + pack_copy(COPY)[2:],
        pack_copy(COPY) + b"\0",
        bytes(MAX_COPY_BYTES + 1),
        b"hello",
    ],
)
def test_anything_else_is_no_copy(raw: bytes) -> None:
    with pytest.raises(Refusal):
        unpack_copy(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_copy_or_refused(raw: bytes) -> None:
    with contextlib.suppress(Refusal):
        assert pack_copy(unpack_copy(raw))[:2] == raw[:2]
