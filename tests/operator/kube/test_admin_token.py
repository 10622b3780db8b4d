"""The token for the admin ports."""

from __future__ import annotations

from kit.kubernetes.fake_api import CONSENTS, NAMESPACE, TOKEN, FakeKubernetes
from tradecast_operator.kube.admin_token import AdminToken
from tradecast_operator.model.spec import Admin

ADMIN = Admin(secret="tokens")


async def test_a_secret_is_read_again_when_that_is_asked_for() -> None:
    kubernetes = FakeKubernetes()
    token = AdminToken(kubernetes, NAMESPACE, strict=False)
    assert await token.read(ADMIN) == (TOKEN,)
    kubernetes.secrets["tokens"] = {"ADMIN_TOKEN": "another"}
    assert await token.read(ADMIN) == (TOKEN,), "not in every round"
    token.expire()
    assert await token.read(ADMIN) == ("another", TOKEN)


async def test_of_the_tokens_of_before_two_are_remembered() -> None:
    kubernetes = FakeKubernetes()
    token = AdminToken(kubernetes, NAMESPACE, strict=False)
    read = []
    for name in ("1", "2", "2,1", "3", "4"):
        for _ in range(2):
            kubernetes.secrets["tokens"] = {"ADMIN_TOKEN": name}
            token.expire()
            read.append(await token.read(ADMIN))
    assert read[1::2] == [("1",), ("2", "1"), ("2", "1"), ("3", "2", "1"), ("4", "3", "2")]


async def test_none_is_used_while_there_is_no_secret_and_it_is_known_again_afterwards() -> None:
    kubernetes = FakeKubernetes()
    token = AdminToken(kubernetes, NAMESPACE, strict=True)
    assert await token.read(ADMIN) == (TOKEN,)
    for labels, tokens in (({}, ()), (dict(CONSENTS), ("another", TOKEN))):
        kubernetes.secrets["tokens"] = {"ADMIN_TOKEN": "another"}
        kubernetes.secret_labels = labels
        token.expire()
        assert await token.read(ADMIN) == tokens
    assert await token.read(Admin()) == ()


async def test_a_refusal_says_why_and_goes_with_the_secret() -> None:
    kubernetes = FakeKubernetes()
    kubernetes.secret_labels.clear()
    token = AdminToken(kubernetes, NAMESPACE, strict=True)
    assert await token.read(ADMIN) == ()
    assert token.refusal is not None
    assert token.refusal.reason == "SecretNotLabelled"
    assert await token.read(Admin()) == ()
    assert token.refusal is None


async def test_a_secret_without_its_label_is_marked() -> None:
    kubernetes = FakeKubernetes()
    kubernetes.secret_labels.clear()
    token = AdminToken(kubernetes, NAMESPACE, strict=False)
    assert await token.read(ADMIN) == (TOKEN,)
    assert not token.current.consented
