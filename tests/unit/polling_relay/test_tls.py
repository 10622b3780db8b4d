"""Certificates between servers, before anybody connects."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from kit.network.tls import Authority
from tradecast.config.settings import SettingsError, load_settings
from tradecast.polling_relay import tls
from tradecast.polling_relay.tls import InternalTls, create_internal_tls, find_distrust

NAME = "tradecast-internal"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("fleet"))


def create(files: dict[str, str], **settings: Any) -> InternalTls:
    made = create_internal_tls(load_settings({}, **files, **settings))
    assert made is not None
    return made


def test_without_files_there_is_none() -> None:
    assert create_internal_tls(load_settings({})) is None


def test_servers_of_one_authority_trust_each_other(authority: Authority) -> None:
    one, other = (create(authority.sign(NAME, f"server{number}")) for number in range(2))
    assert find_distrust(one.listening, other.calling, NAME) is None
    assert find_distrust(other.listening, one.calling, NAME) is None
    assert not one.required


def test_a_name_of_ones_own(authority: Authority) -> None:
    files = authority.sign("push.internal.example", "named")
    made = create(files, internal_server_name="push.internal.example", internal_require_tls=True)
    assert (made.name, made.required) == ("push.internal.example", True)


def test_what_cannot_work_stops_the_start_and_says_why(authority: Authority, tmp_path: Path) -> None:
    good = authority.sign(NAME, "good")
    foreign = Authority.make(tmp_path / "foreign").sign(NAME)
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    wrong: list[tuple[dict[str, str], str, str]] = [
        ({**good, "internal_ca_file": foreign["internal_ca_file"]}, "INTERNAL_CERT_FILE", "local issuer certificate"),
        (authority.sign("other.example", "other"), "INTERNAL_CERT_FILE", "not valid for 'tradecast-internal'"),
        (authority.sign(NAME, "expired", days=-1), "INTERNAL_CERT_FILE", "has expired"),
        ({**good, "internal_key_file": foreign["internal_key_file"]}, "INTERNAL_KEY_FILE", "no PEM certificate and"),
        ({**good, "internal_cert_file": __file__}, "INTERNAL_CERT_FILE", "no PEM certificate and"),
        ({**good, "internal_cert_file": str(empty)}, "INTERNAL_CERT_FILE", "no PEM certificate and"),
        ({**good, "internal_ca_file": str(empty)}, "INTERNAL_CA_FILE", "no PEM certificate"),
        ({**good, "internal_ca_file": __file__}, "INTERNAL_CA_FILE", "no PEM certificate"),
    ]
    for files, variable, why in wrong:
        with pytest.raises(SettingsError) as caught:
            create(files)
        assert variable in str(caught.value)
        assert why in str(caught.value)
        assert str(tmp_path) not in str(caught.value), "no paths"


def test_renewed_files_are_read_and_bad_ones_are_not(authority: Authority) -> None:
    files = authority.sign(NAME, "renewed")
    made = create(files)
    before = shown_by(made)
    made.refresh()
    assert shown_by(made) == before
    authority.sign(NAME, "renewed")
    with capture_logs() as lines:
        made.refresh()
    assert [line["log_level"] for line in lines] == ["info"]
    renewed = shown_by(made)
    assert renewed != before
    authority.sign("other.example", "renewed")
    with capture_logs() as lines:
        made.refresh()
        made.refresh()
    assert [(line["log_level"], "not valid for" in line["why"]) for line in lines] == [("error", True)], "once"
    assert shown_by(made) == renewed
    Path(files["internal_cert_file"]).unlink()
    with capture_logs() as lines:
        made.refresh()
    assert [line["log_level"] for line in lines] == ["error"]
    assert shown_by(made) == renewed
    assert made.is_stale
    assert made.seconds_left == pytest.approx(2 * 86_400, abs=600)
    assert made.lifetime == pytest.approx(2 * 86_400, abs=600)


def test_files_that_can_be_read_again_are_tried_again(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed may have been a moment between two files that are swapped: no file changes after that."""
    files = authority.sign(NAME, "swapped")
    made = create(files)
    before = shown_by(made)
    authority.sign(NAME, "swapped")
    with monkeypatch.context() as patch:
        patch.setattr(tls, "load_certificate", _fail)
        made.refresh()
    stale = [made.is_stale]
    assert shown_by(made) == before
    made.refresh()
    assert [*stale, made.is_stale] == [True, False]
    assert shown_by(made) != before


def _fail(*files: object) -> ssl.SSLContext:
    raise OSError("between two files")


def shown_by(made: InternalTls) -> bytes:
    """The certificate that others see."""
    to_listener, to_caller = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = made.calling.wrap_bio(to_caller, to_listener, server_hostname=made.name)
    listener = made.listening.wrap_bio(to_listener, to_caller, server_side=True)
    for _ in range(4):
        for side in (caller, listener):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    found = caller.getpeercert(binary_form=True)
    assert found is not None
    return found
