"""What must never be repeated: secrets of the environment, and text that looks like one. Standard library only.

Messages, reasons that are stored, and tracebacks all pass through `redacted`; nothing here keeps or prints a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

HIDDEN = "[hidden]"
# Names of fields and variables whose values are not repeated. A word of it is enough: hiding too much costs little.
_NAME = re.compile(
    r"api_?key|access_?key|account_?key|private_?key|connection_?string|shared_?access|(?<![a-z])keys?(?![a-z])"
    r"|token|passw|passphrase|secret|credential|authorization",
    re.IGNORECASE,
)
# Shorter values ("1", "true", "token") would be hidden all over a message.
_SHORTEST = 8
# W&B (old and new), AWS, GitHub, Slack, Google, JSON web tokens, private keys.
_PATTERNS = re.compile(
    r"wandb_v\d+_\w+|(?<![0-9a-zA-Z])[0-9a-fA-F]{40}(?![0-9a-zA-Z])|(?<![0-9A-Z])A[KS]IA[0-9A-Z]{16}(?![0-9A-Z])"
    r"|gh[pousr]_\w{20,}|github_pat_\w{20,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{30,}"
    r"|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(-----END [A-Z ]*-----)?"
)
# One slash is what pathlib leaves of two.
_IN_URL = re.compile(r"(?<=:/)/?[^\s/@'\"]+(?=@)")
# 'wandb_api_key': 'value', password=value: what a repr or another library's message may hold. A colon and a space are
# prose ("credentials: see ...") unless the value is quoted.
_NAMED = re.compile(
    r"""(?<![\w.-])([\w.-]{1,200})(['"]\s*[:=]\s*|\s*=\s*|:\s*(?=['"])|:(?=\S))"""
    r"""(?!\[hidden|None\b|True\b|False\b)(b?'[^']+'|b?"[^"]+"|[^\s,;)}\]'"]+)"""
)


def is_secret_name(name: object) -> bool:
    """Whether a field or variable of this name holds what is not to be repeated."""
    return isinstance(name, str) and _NAME.search(name) is not None


def holds_secret(text: str, environ: Mapping[str, str] | None = None) -> bool:
    """Whether the text has a secret of the environment in it, or what looks like anybody's."""
    found = _PATTERNS.search(text) is not None or _IN_URL.search(text) is not None
    return found or any(secret in text for secret in _secrets(os.environ if environ is None else environ))


def redacted(text: str, environ: Mapping[str, str] | None = None) -> str:
    """The text without secrets: those of the environment, values of fields named like one, what looks like one."""
    for secret in _secrets(os.environ if environ is None else environ):
        text = text.replace(secret, HIDDEN)
    text = _IN_URL.sub(HIDDEN, _PATTERNS.sub(HIDDEN, text))
    return _NAMED.sub(lambda m: f"{m[1]}{m[2]}{HIDDEN}" if is_secret_name(m[1]) else m[0], text)


def _secrets(environ: Mapping[str, str]) -> list[str]:
    """Values of the environment that are secret, the longest first: one may be a part of another."""
    found = set()
    for name, value in environ.items():
        if is_secret_name(name) and not _is_place(value):
            found |= {value.strip(), *value.split("\n")}
        if "@" in value and "://" in value:  # a proxy or a database with its password
            found |= _passwords(value)
    return sorted((secret for secret in found if len(secret) >= _SHORTEST), key=len, reverse=True)


def _is_place(value: str) -> bool:
    """A path such as that of SSH_AUTH_SOCK or of a token's file is named in messages, and is no secret."""
    return value.startswith(("/", "~", "./"))


def _passwords(url: str) -> set[str]:
    try:
        password = urlsplit(url).password or ""
    except ValueError:
        return set()
    return {password, unquote(password)}
