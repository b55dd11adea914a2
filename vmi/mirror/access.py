"""Whether, and where to, W&B may go online: mode, key and target. A key is looked for, never kept or repeated."""

from __future__ import annotations

import configparser
import netrc
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from vmi.spec.errors import InputError, Problem, did_you_mean, one_of, printable
from vmi.spec.home import home
from vmi.spec.redaction import holds_secret, redacted

MODES = ("online", "offline", "disabled")

_TARGET = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,127})/([A-Za-z0-9][A-Za-z0-9._-]{0,127})")


class Mode(NamedTuple):
    """One of MODES, and what the user should be told about it ("" for nothing)."""

    mode: str
    note: str


def mode_from(environ: Mapping[str, str]) -> Mode:
    """WANDB_MODE, offline by default and when there is no key to go online. InputError on any other value."""
    asked = environ.get("WANDB_MODE") or "offline"
    if asked not in MODES:
        problem = Problem("WANDB_MODE", asked, one_of(MODES), did_you_mean(asked, MODES))
        raise InputError([problem], "environment")
    if asked == "online" and not _has_key(environ):
        return Mode("offline", "WANDB_MODE is online but there is no API key: W&B runs are kept offline")
    return Mode(asked, "")


def need_key(environ: Mapping[str, str], hint: str) -> None:
    """Raises InputError, which repeats nothing of the environment, when there is no key to go online with."""
    if not _has_key(environ):
        problem = Problem("WANDB_API_KEY", "", "a key of yours (or one kept by `wandb login`), to go online", hint)
        raise InputError([problem], "environment")


def target(text: str, option: str) -> tuple[str, str]:
    """The entity and the project of "ENTITY/PROJECT". Raises InputError naming the option; no key is repeated."""
    found = _TARGET.fullmatch(text)
    if found is None or holds_secret(text):
        allowed = "ENTITY/PROJECT, each of letters, digits, '.', '_' and '-', 1 to 128 of them"
        raise InputError([Problem(option, text, allowed)])
    return found[1], found[2]


def _has_key(environ: Mapping[str, str]) -> bool:
    """Whether W&B would find a key where it looks: the environment, netrc, its own settings file."""
    if environ.get("WANDB_API_KEY", "").strip() or environ.get("WANDB_IDENTITY_TOKEN_FILE", "").strip():
        return True
    own = Path(environ.get("HOME") or home())
    return _in_netrc(environ, own) or _in_settings(environ, own)


def _in_netrc(environ: Mapping[str, str], own: Path) -> bool:
    host = urlsplit(environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").netloc
    given = environ.get("NETRC")
    candidates = [Path(given)] if given else [own / ".netrc", own / "_netrc"]
    try:
        path = next((candidate for candidate in candidates if candidate.exists()), None)
        entry = netrc.netrc(path).authenticators(host) if path else None
    except (netrc.NetrcParseError, OSError):
        return False
    return bool(entry and entry[2])


def _in_settings(environ: Mapping[str, str], own: Path) -> bool:
    folder = Path(environ.get("WANDB_CONFIG_DIR") or own / ".config" / "wandb")
    settings = configparser.ConfigParser(interpolation=None)
    try:
        settings.read(folder / "settings")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return False
    return bool(settings.get("default", "api_key", fallback="").strip())


def without_keys(text: str, environ: Mapping[str, str]) -> str:
    """The first line, with the environment's secrets and whatever looks like one taken out."""
    return printable(redacted(text.strip().splitlines()[0], environ))
