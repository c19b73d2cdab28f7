"""Addresses and messages without secrets."""

from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jobs.errors import SongmillError
from jobs.inputs.sources import SourceFile
from jobs.redaction import public_address, redact

SIGNED = "https://host/a.wav?X-Amz-Expires=60&X-Amz-Signature=0123456789abcdef%2F%3D"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("https://me:s3cret@host:8080/a/b.wav", "https://host:8080/a/b.wav"),
        ("https://t0ken@host/a.wav", "https://host/a.wav"),
        ("HTTPS://me:s3cret@host/a.wav#access_token=t", "HTTPS://host/a.wav"),
        (SIGNED, "https://host/a.wav"),
        ("https://host/play?17", "https://host/play"),
        ("https:/me:s3cret@host/a.wav?signature=x", "https:/host/a.wav"),
        ("sftp://me:s3cret@host/a.wav", "sftp://me@host/a.wav"),
        ("sftp://me@host/a.wav", "sftp://me@host/a.wav"),
        ("sftp://:s3cret@host/a.wav", "sftp://host/a.wav"),
        ("ftp://me:s3/c?r#e@t@host/a.wav", "ftp://me@host/a.wav"),
        ("ftp://me:12?3@host/a.wav", "ftp://me@host/a.wav"),
        ("s3://KEY:s3/cret@bucket/a.wav", "s3://KEY@bucket/a.wav"),
        ("abfs://music@account/a.wav?sv=1&sig=x", "abfs://music@account/a.wav"),
        ("zip://*.wav::https://me:s3cret@host/a.zip?t=x", "zip://*.wav::https://host/a.zip"),
        ("simplecache::sftp://me:s3cret@host/a.wav", "simplecache::sftp://me@host/a.wav"),
        ("postgresql://me:s3cret@h:5432/d?password=x", "postgresql://me@h:5432/d"),
    ],
)
def test_a_public_address_has_no_password_and_no_query(address: str, public: str) -> None:
    assert public_address(address) == public
    assert public_address(public) == public


@pytest.mark.parametrize(
    "address",
    [
        *(
            "/music/a?b=c/12:30@night.wav",
            "music/a.wav",
            r"caf\xe9/a:b@c.wav",
            "",
            "s3://",
            "s3://b",
        ),
        *("s3://bucket/take?versionId=7.wav", "s3://bucket/a//b.wav"),
        *("s3://bucket/why?/a#1.wav", "s3://bucket/@me/a.wav", "memory://bucket/take?.wav"),
        *(
            "http://host:8080/@me/a.wav",
            "http://[::1]:8080/@me/a.wav",
            "sftp://host/12:30@night.wav",
        ),
    ],
)
def test_paths_and_names_stay_as_they_are(address: str) -> None:
    assert public_address(address) == address


PASSWORDS = st.text(st.sampled_from("abcXYZ019-_.~!$&*+,;=%/?#@:'()"), min_size=8, max_size=20)


@given(PASSWORDS, st.sampled_from(["ftp", "sftp", "https", "s3", "postgresql"]))
def test_no_password_in_any_form_is_left(text: str, scheme: str) -> None:
    password = "p" + text  # digits before a slash would be a port
    assume("::" not in password)
    assume("@" not in password or not set("/?#") & set(password))  # an @ may be in a path, too
    host = "host" if scheme == "https" else "me@host"
    for written in (password, quote(password, safe="")):
        address = f"{scheme}://me:{written}@host/x.wav"
        assert public_address(address) == f"{scheme}://{host}/x.wav"
        message = f"bad {address!r}: {password}, {quote(password, safe='')}"
        assert password not in redact(message, address)
        assert quote(password, safe="") not in redact(message, address)
    # A message of a library quotes addresses that are escaped.
    assert written not in redact(f"cannot open {address}: no answer")
    assert redact(f"cannot open {address}: no answer").endswith("host/x.wav: no answer")


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (
            f"403, message='Forbidden', url='{SIGNED}'",
            "403, message='Forbidden', url='https://host/a.wav'",
        ),
        (f"there is no {SIGNED}. Look", "there is no https://host/a.wav. Look"),
        ("host=h password=s3cret dbname=d", "host=h password=*** dbname=d"),
        (r"password = 's3\'cret x' host=h", "password = *** host=h"),
        (r"password=s3\ cret host=h", "password=*** host=h"),
        ("no folder /x/mysql:/me:s3cret@h", "no folder /x/mysql:/me@h"),
        ("no folder /x/mysql/me:s3:c@ret@h", "no folder /x/mysql/me:***@h"),
        ("tcp://127.0.0.1:8786 is lost", "tcp://127.0.0.1:8786 is lost"),
        ("12:30 is too late: 5 of 6 files (83%)", "12:30 is too late: 5 of 6 files (83%)"),
    ],
)
def test_a_message_is_redacted_and_otherwise_stays_as_it_is(text: str, redacted: str) -> None:
    assert redact(text) == redacted
    assert redact(redacted) == redacted
    assert str(SongmillError(text)) == redacted


def test_short_values_of_a_query_are_removed_with_the_address_only() -> None:
    text = redact("1 of 12 parts of 'https://host/a.wav?part=1': 1", "https://host/a.wav?part=1")
    assert text == "1 of 12 parts of 'https://host/a.wav': 1"
    assert redact("'0123456789abcdef/=' expired", SIGNED) == "'***' expired"


def test_workers_log_tasks_without_the_address() -> None:
    recording = SourceFile("a.wav", "https://host/a.wav", "list.txt", SIGNED, 1, None)
    assert "0123456789abcdef" not in repr(recording)
