"""Masking of WebSocket payloads (RFC 6455 §5.3): masking and unmasking are the same."""

from __future__ import annotations


def apply_mask_slowly(data: bytes, mask: bytes) -> bytes:
    """Mask or unmask a payload in Python: 0.6 µs for a small event."""
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


try:
    # C, from the `websockets` package: 0.1 µs for a small event.
    from websockets.speedups import apply_mask
except ImportError:  # no wheel for this machine
    apply_mask = apply_mask_slowly  # type: ignore[assignment]

__all__ = ["apply_mask", "apply_mask_slowly"]
