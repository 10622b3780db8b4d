"""Masking in Python and in C do the same, and it is what RFC 6455 says."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from websockets.frames import Frame, Opcode

from tradecast.engine.masking import apply_mask, apply_mask_slowly

Unmask = Callable[[bytes, bytes], bytes]
MASKS = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x37\xfa\x21\x3d", b"\0\0\0\x01", b"\x80\0\0\0"]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 8, 9, 125, 126, 1000, 65_537])
@pytest.mark.parametrize("mask", MASKS)
def test_both_ways_do_as_the_rfc_says(size: int, mask: bytes) -> None:
    data = os.urandom(size)
    expected = bytes(byte ^ mask[position % 4] for position, byte in enumerate(data))
    assert apply_mask(data, mask) == expected
    assert apply_mask_slowly(data, mask) == expected


@pytest.mark.parametrize("data", [b"\0\0\0\0\0", b"\0", b"\0" * 9 + b"x"])
def test_leading_nulls_stay(data: bytes) -> None:
    assert apply_mask_slowly(apply_mask_slowly(data, b"\0\0\0\0"), b"\0\0\0\0") == data
    assert apply_mask_slowly(data, b"\0\x01\0\x01") == apply_mask(data, b"\0\x01\0\x01")


def test_the_example_of_the_rfc() -> None:
    """RFC 6455 §5.7: a masked text that says Hello."""
    assert apply_mask_slowly(bytes.fromhex("7f9f4d5158"), bytes.fromhex("37fa213d")) == b"Hello"


@pytest.mark.parametrize("unmask", [apply_mask, apply_mask_slowly])
def test_it_takes_off_what_the_websockets_package_puts_on(unmask: Unmask) -> None:
    sent = Frame(Opcode.TEXT, b"what is sent").serialize(mask=True)
    assert unmask(sent[6:], sent[2:6]) == b"what is sent"


@pytest.mark.parametrize("unmask", [apply_mask, apply_mask_slowly])
def test_the_result_is_bytes(unmask: Unmask) -> None:
    assert type(unmask(b"abc", b"\0\0\0\0")) is bytes
