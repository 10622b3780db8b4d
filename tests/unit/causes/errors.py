"""Errors as drivers raise them, and places where they happen."""

from __future__ import annotations

import ssl

import redis.exceptions

from tradecast.causes import MONGODB, REDIS, Place

HERE = Place(REDIS, "10.0.0.1:6379")
THERE = Place(MONGODB, "10.0.0.1:27017", "MONGODB_URI")


def around(error: Exception, other: Exception | None = None) -> Exception:
    """An error of a driver that another one caused."""
    outer = other or redis.exceptions.ConnectionError("lost")
    outer.__cause__ = error
    return outer


def certificate(words: str) -> Exception:
    """An error of a driver that a certificate caused."""
    return around(
        ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {words}")
    )
