"""How each cloud is reached: endpoint, region and credentials as its own tools find them.

`s3://`: AWS_* variables, the profile of ~/.aws, web identity, containers, a machine's role. A profile that asks for
SSO, another role or a process is boto3's, where that is installed. `gs://`: GOOGLE_APPLICATION_CREDENTIALS, gcloud's
login, the machine's account. `az://`: AZURE_STORAGE_* variables, a service principal, the machine's identity,
`az login`.
"""

from __future__ import annotations

import configparser
import contextlib
import errno
import json
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from obstore.store import AzureStore, GCSStore, S3Store

from vmi.spec.home import expanded, home

CONNECT_SECONDS = 4.0
REGION_TRIES = 3
HOW = {
    "s3": "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or give this machine a role",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, run `gcloud auth application-default login`, or give this machine a "
    "service account",
    "az": "set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or "
    "AZURE_STORAGE_CONNECTION_STRING, run `az login`, or give this machine an identity",
}
# A profile with one of these asks others for its keys.
_ASKS = ("role_arn", "sso_session", "sso_start_url", "credential_process", "login_session")
# What the library reads by itself.
_AZURE = (
    *(f"AZURE_STORAGE_{name}" for name in ("ACCOUNT_KEY", "ACCESS_KEY", "SAS_TOKEN", "SAS_KEY", "TOKEN", "CLIENT_ID")),
    *("AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"),
)
# boto3 asks again where keys are about to end; so must the library.
_KEYS_HOLD = timedelta(minutes=5)

Environ = Mapping[str, str]
Options = dict[str, Any]


class Retries(NamedTuple):
    """How the library itself makes a request again: for how long, and after which waits (seconds)."""

    patience: float
    first_wait: float
    longest_wait: float


@cache
def store_of(scheme: str, name: str, silence: float, retries: Retries | None) -> Any:
    """The library's store of a bucket, whose server may be silent for so many seconds. Raises OSError, ValueError."""
    kind, options_of = _KINDS[scheme]
    # An empty variable is none to the clouds' tools; the library takes it at its word.
    for variable in [n for n, value in os.environ.items() if n.startswith(("AWS_", "GOOGLE_", "AZURE_")) and not value]:
        del os.environ[variable]
    options = options_of(os.environ)
    url = next((str(options[key]) for key in ("endpoint", "base_url") if options.get(key)), "")
    if url and not re.fullmatch(r"https?://[^/\s]+(/\S*)?", url):
        raise OSError(
            errno.EINVAL, f"the object store cannot be used: its endpoint {url} is no http:// or https:// address"
        )
    client: Options = {
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "read_timeout": timedelta(seconds=silence),
        "timeout": timedelta(days=1),
        "allow_http": url.startswith("http://") or options.get("use_emulator", False),
    }
    if bundle := os.environ.get("AWS_CA_BUNDLE"):
        try:
            client["root_certificate"] = Path(bundle).read_bytes()
        except OSError as error:
            raise OSError(error.errno, f"AWS_CA_BUNDLE = {bundle}: {error.strerror}") from error
    # Elsewhere tries are counted by the caller, who knows what a lost answer means.
    again: Options = {"max_retries": 0}
    if retries:
        waits = {"init_backoff": timedelta(seconds=retries.first_wait), "base": 2}
        waits["max_backoff"] = timedelta(seconds=retries.longest_wait)
        again = {"max_retries": 1000, "retry_timeout": timedelta(seconds=retries.patience), "backoff": waits}
    return kind(name, client_options=client, retry_config=again, **options)


def region_of(where: str) -> str | None:
    """The region that S3 names for the bucket of an address, which the library does not hand on."""
    bucket = where.split("/")[2]
    options = _s3(os.environ)
    endpoint = options.get("endpoint") or f"https://s3.{options.get('region', 'us-east-1')}.amazonaws.com"
    request = urllib.request.Request(f"{endpoint}/{bucket}", method="HEAD")
    for _ in range(REGION_TRIES):
        try:
            # An opener of its own, which reads the proxies of now.
            with urllib.request.build_opener().open(request, timeout=CONNECT_SECONDS) as answer:
                found = answer.headers.get("x-amz-bucket-region")
        except urllib.error.HTTPError as error:
            found = error.headers.get("x-amz-bucket-region")
        except OSError:  # it failed on its way
            continue
        return str(found) if found else None
    return None


def _denied(scheme: str, said: str = "no credentials") -> OSError:
    return OSError(errno.EACCES, f"access denied: {said}: {HOW[scheme]}")


def _s3(environ: Environ) -> Options:
    profile = _profile(environ)
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or profile.get("region")
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or profile.get("endpoint_url")
    # One delete at a time: not every store knows the request for many.
    options: Options = {"conditional_put": "etag", "disable_bulk_delete": True}
    options |= {name: value for name, value in (("region", region), ("endpoint", endpoint)) if value}
    elsewhere = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE")
    if any(environ.get(name) for name in elsewhere):
        return options
    if any(name in profile for name in _ASKS):
        return {**options, "credential_provider": _by_boto3()}
    if "aws_access_key_id" in profile:
        names = {"aws_access_key_id", "aws_secret_access_key", "aws_session_token"} & profile.keys()
        return {**options, **{name.removeprefix("aws_"): profile[name] for name in names}}
    role = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true" and not any(map(environ.get, role)):
        raise _denied("s3")
    return options


def _profile(environ: Environ) -> dict[str, str]:
    """What the files of ~/.aws say of the profile in use."""
    chosen = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE")
    name, aws = chosen or "default", home() / ".aws"
    found: dict[str, str] = {}
    section = name if name == "default" else f"profile {name}"
    known = False
    for variable, file, title in (
        ("AWS_CONFIG_FILE", "config", section),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", name),
    ):
        path = expanded(str(environ.get(variable) or aws / file), variable)
        parser = configparser.RawConfigParser(default_section="", strict=False)
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError) as error:
            raise _denied("s3", f"{path} cannot be read ({type(error).__name__})") from error
        if parser.has_section(title):
            known = True
            found |= dict(parser.items(title))
        if parser.has_section(services := f"services {found.get('services')}"):
            lines = (line.partition("=") for line in parser.get(services, "s3", fallback="").splitlines())
            found |= {key.strip(): value.strip() for key, _, value in lines if key.strip() == "endpoint_url"}
    if chosen and not known:
        raise _denied("s3", f"there is no profile {chosen}")
    return found


def _by_boto3() -> Callable[[], Options]:
    """The keys of a profile that asks others for them."""
    try:
        import botocore.session
    except ImportError:
        said = "this profile asks others for its keys, which needs boto3 (`pip install 'vmi-sweeps[aws]'`)"
        raise _denied("s3", said) from None
    from botocore.exceptions import BotoCoreError

    try:
        credentials = botocore.session.Session().get_credentials()
    except BotoCoreError as error:
        raise _denied("s3", str(error)) from error
    if credentials is None:
        raise _denied("s3")

    def keys() -> Options:
        now = credentials.get_frozen_credentials()
        found = {"access_key_id": now.access_key, "secret_access_key": now.secret_key, "token": now.token}
        return {**found, "expires_at": datetime.now(UTC) + _KEYS_HOLD}

    return keys


def _gs(environ: Environ) -> Options:
    if host := environ.get("STORAGE_EMULATOR_HOST"):
        # The library asks for a token even where it signs nothing.
        url = host if "://" in host else f"http://{host}"
        return {"base_url": url, "bearer_token": "emulator"}
    named = environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    gcloud = Path(environ.get("CLOUDSDK_CONFIG") or home() / ".config" / "gcloud")
    file = Path(named or gcloud / "application_default_credentials.json")
    if named and not file.is_file():
        raise _denied("gs", "GOOGLE_APPLICATION_CREDENTIALS names no file")
    if not file.is_file():
        return {}
    with contextlib.suppress(ValueError, OSError):
        if json.loads(file.read_text(encoding="utf-8")).get("type") not in ("service_account", "authorized_user"):
            return {"credential_provider": _by_google_auth()}
    return {"application_credentials": str(file)}


def _by_google_auth() -> Any:
    """The tokens of a federated or impersonated identity."""
    try:
        from obstore.auth.google import GoogleCredentialProvider
    except ImportError:
        raise _denied("gs", "this kind needs google-auth (`pip install 'vmi-sweeps[gcp]'`)") from None
    return GoogleCredentialProvider()


def _az(environ: Environ) -> Options:
    pairs = (part.partition("=") for part in environ.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";"))
    told = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if "true" in (told.get("usedevelopmentstorage", ""), environ.get("AZURE_STORAGE_USE_EMULATOR", "").lower()):
        return {"use_emulator": True}
    account = (
        environ.get("AZURE_STORAGE_ACCOUNT_NAME") or environ.get("AZURE_STORAGE_ACCOUNT") or told.get("accountname")
    )
    if not account:
        raise _denied("az", "no account is named")
    suffix = told.get("endpointsuffix")
    options: Options = {
        "account_name": account,
        "endpoint": told.get("blobendpoint") or (f"https://{account}.blob.{suffix}" if suffix else None),
        "account_key": environ.get("AZURE_STORAGE_KEY") or told.get("accountkey"),
        "sas_token": told.get("sharedaccesssignature"),
    }
    options = {name: value for name, value in options.items() if value}
    logged_in = (Path(environ.get("AZURE_CONFIG_DIR") or home() / ".azure") / "azureProfile.json").is_file()
    if not {"account_key", "sas_token"} & options.keys() and not any(map(environ.get, _AZURE)) and logged_in:
        options["use_azure_cli"] = shutil.which("az") is not None
    return options


_KINDS: Mapping[str, tuple[Any, Callable[[Environ], Options]]] = {
    "s3": (S3Store, _s3),
    "gs": (GCSStore, _gs),
    "az": (AzureStore, _az),
}
