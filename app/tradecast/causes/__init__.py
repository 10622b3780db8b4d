"""What is wrong with Redis, MongoDB or a server that we connect to, and what to do about it, in one set of words. Pure.

Logs, health, metrics, the command line and `tradecast check` all use them. No text of a driver is passed on: it may
hold credentials. Errors are recognized by the names of their classes and by their texts, so no driver is needed.
"""

from tradecast.causes.cause import Cause, OwnText
from tradecast.causes.chain import Failed
from tradecast.causes.codes import Code
from tradecast.causes.explain import explain_error
from tradecast.causes.peers import Peer, is_ambiguous, refine_cause
from tradecast.causes.places import MONGODB, REDIS, SERVER, SOME_REDIS, Place, Setting

__all__ = [
    "MONGODB",
    "REDIS",
    "SERVER",
    "SOME_REDIS",
    "Cause",
    "Code",
    "Failed",
    "OwnText",
    "Peer",
    "Place",
    "Setting",
    "explain_error",
    "is_ambiguous",
    "refine_cause",
]
