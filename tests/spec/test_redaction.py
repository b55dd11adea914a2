"""What is taken out of a message, and what is left in it."""

from __future__ import annotations

import pytest

from vmi.spec.errors import InputError, Problem
from vmi.spec.redaction import HIDDEN, holds_secret, is_secret_name, redacted

KEY = "0123456789abcdef" * 2 + "0000cafe"
ENVIRON = {"MY_TOKEN": "open sesame", "HTTPS_PROXY": "http://me:p%40ssword1@host:1", "SHORT_KEY": "abc",
           "SSH_AUTH_SOCK": "/tmp/ssh-agent", "RAY_AUTH_MODE": "token", "PATH": "/usr/bin:/bin"}  # fmt: skip


@pytest.mark.parametrize("name", [
    "wandb_api_key", "WANDB_API_KEY", "apiKey", "--token", "fixed.password", "SECRET", "AccountKey",
    "AZURE_STORAGE_CONNECTION_STRING", "aws_secret", "passwd",
    "GOOGLE_APPLICATION_CREDENTIALS", "private_key", "RAY_AUTH_TOKEN", "key",
])  # fmt: skip
def test_a_name_that_says_secret_is_one(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["keep_models", "monkey", "keyword", "authors", "RAY_AUTH_MODE", "hockey", "", 5])
def test_other_names_are_not(name: object) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize("text", [
    "a" * 40, f"key {KEY}", "wandb_v1_abc", "AKIAABCDEFGHIJKLMNOP", "ghp_0123456789abcdefghijABCDEFGHIJ",
    "say open sesame", "http://me:hunter2@host/x", "s3:/me:hunter2@bucket", "p%40ssword1", "p@ssword1",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----",
])  # fmt: skip
def test_what_is_or_looks_like_a_secret_is_taken_out(text: str) -> None:
    assert holds_secret(text, ENVIRON)
    said = redacted(f"before {text} after", ENVIRON)
    assert HIDDEN in said and said.startswith("before") and "after" in said
    assert not [part for part in (text, "hunter2", "sesame", "ssword1", "MIIabc") if part in said]


@pytest.mark.parametrize("text", [
    "{'wandb_api_key': 'hunter22', 'steps': 3}", "password=hunter22", 'token: "hunter22"', "SECRET = hunter22,",
    "{'password': b'hunter22'}", "api_key='hunter22')",
])  # fmt: skip
def test_the_value_of_a_secret_name_is_taken_out_of_any_text(text: str) -> None:
    assert "hunter22" not in redacted(text, {}) and HIDDEN in redacted(text, {})
    assert redacted(redacted(text, {}), {}) == redacted(text, {})


@pytest.mark.parametrize("text", [
    "steps = 0: from 1 to 1e+09", "MD5 6bbc9ace898e44ae57da46a324031adb",
    "part-a77be71e0459b47f812efa3cabf2b503.parquet",
    "WANDB_API_KEY = '': a key of yours", "/tmp/ssh-agent", "RAY_AUTH_MODE=token where it asks for its token",
    "credentials = None: Google's own credentials: `gcloud auth`, or GOOGLE_APPLICATION_CREDENTIALS naming a file",
    "content 3d91ba60b6729582", "ab" * 32, "layout n16+c10*", "https://example.org/a", "abc",
])  # fmt: skip
def test_what_is_no_secret_is_left(text: str) -> None:
    assert redacted(text, ENVIRON) == text


def test_no_line_of_an_input_error_repeats_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "open sesame")
    problems = [
        Problem("fixed.wandb_api_key", "short1", "no such field"),
        Problem("name", KEY, "a name", f"not {KEY}"),
        Problem("space", {"token": "short1", "x": "open sesame" * 30}, "a mapping"),
        Problem(f"fixed.{KEY}", 1, "no such field"),
        Problem("x", "z" * 180 + " " + KEY, "cut after the key was taken out, not within it"),
    ]
    said = str(InputError(problems, f"study {KEY!r}"))
    assert not [secret for secret in ("short1", KEY, KEY[:10], "sesame") if secret in said], said


def test_a_message_of_many_problems_stays_short() -> None:
    error = InputError(Problem("space", index, "less") for index in range(100_000))
    assert len(error.problems) == 100_000
    assert str(error).startswith("100000 problems") and str(error).endswith("and 99900 more")
