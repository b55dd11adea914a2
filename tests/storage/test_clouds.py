"""Endpoint, region and credentials are found as each cloud's own tools find them: read from what is sent and signed."""

from __future__ import annotations

import builtins
import os
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from vmi.spec.errors import InputError
from vmi.storage.clouds import store_of
from vmi.storage.paths import opened

OURS = ("AWS_", "GOOGLE_", "AZURE_", "STORAGE_EMULATOR", "CLOUDSDK_")
EMPTY = b"<ListBucketResult></ListBucketResult>"
EMPTY_BLOBS = b"<EnumerationResults><Blobs></Blobs></EnumerationResults>"


class Heard(BaseHTTPRequestHandler):
    """Answers any list with an empty one, and keeps what was asked."""

    asked: ClassVar[list[tuple[str, Mapping[str, str]]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, dict(self.headers)))
        body = EMPTY_BLOBS if "comp=list" in self.path else EMPTY
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Heard)
    server.daemon_threads = True
    Heard.asked.clear()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for this machine that nobody knows, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now, here = datetime.now(UTC), x509.IPAddress(ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([here]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "made.pem").write_bytes(private + made.public_bytes(Encoding.PEM))
    return tmp_path / "made.pem"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home without anything of the machine's own, and no machine that has a role."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store_of.cache_clear()
    yield tmp_path
    store_of.cache_clear()


def aws(home: Path, config: str, credentials: str = "") -> None:
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text(config)
    (home / ".aws" / "credentials").write_text(credentials)


def signer() -> tuple[str, str]:
    """Who signed the last request, and for which region."""
    found = re.search(r"Credential=(\w+)/\d+/([\w-]+)/s3/", Heard.asked[-1][1]["authorization"])
    assert found
    return found[1], found[2]


KEYS = "aws_access_key_id = {0}\naws_secret_access_key = secret\n"


@pytest.mark.parametrize(
    ("environ", "signed"),
    [
        ({}, ("DEFAULT", "eu-west-1")),
        ({"AWS_PROFILE": "lab"}, ("LAB", "eu-north-1")),
        ({"AWS_PROFILE": "lab", "AWS_REGION": "us-west-2"}, ("LAB", "us-west-2")),
        ({"AWS_ACCESS_KEY_ID": "OWN", "AWS_SECRET_ACCESS_KEY": "s", "AWS_PROFILE": "lab"}, ("OWN", "eu-north-1")),
    ],
)
def test_a_profile_gives_keys_region_and_endpoint_and_a_variable_comes_first(
    home: Path, url: str, environ: Mapping[str, str], signed: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = f"[profile lab]\nregion = eu-north-1\nservices = here\n[services here]\ns3 =\n  endpoint_url = {url}\n"
    aws(home, f"[default]\nregion = eu-west-1\nendpoint_url = {url}\n{lab}",
        f"[default]\n{KEYS.format('DEFAULT')}[lab]\n{KEYS.format('LAB')}")  # fmt: skip
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    opened("s3://bucket/x")
    assert signer() == signed


def test_a_profile_that_asks_a_process_for_its_keys_is_botocores(home: Path, url: str) -> None:
    said = '{"Version": 1, "AccessKeyId": "ASKED", "SecretAccessKey": "s"}'
    (home / "keys.json").write_text(said)
    aws(home, f"[default]\nendpoint_url = {url}\ncredential_process = cat {home / 'keys.json'}\n")
    opened("s3://bucket/x")
    assert signer() == ("ASKED", "us-east-1")


def test_such_a_profile_is_refused_by_name_without_boto3(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aws(home, "[default]\nsso_session = ours\n")
    found = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.partition(".")[0] == "botocore":
            raise ImportError(name)
        return found(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"needs boto3 \(`pip install 'vmi-sweeps\[aws\]'`\)"):
        opened("s3://bucket/x")


def test_google_s_emulator_is_asked_without_an_account(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url.removeprefix("http://"))
    opened("gs://bucket/x")
    assert Heard.asked[-1][0].startswith("/bucket?")


@pytest.mark.parametrize("whole", [False, True], ids=["variables", "connection string"])
def test_azure_s_variables_name_account_and_key(url: str, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    told = f"AccountName=ours;BlobEndpoint={url}/ours" + (";AccountKey=c2VjcmV0" if whole else "")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", told)
    if not whole:
        monkeypatch.setenv("AZURE_STORAGE_KEY", "c2VjcmV0")
    opened("az://bucket/x")
    path, headers = Heard.asked[-1]
    assert path.startswith("/ours/bucket?") and headers["authorization"].startswith("SharedKey ours:")


def _files(home: Path) -> None:
    aws(home, "[default]\nregion = eu-west-1\n")


def _broken(home: Path) -> None:
    aws(home, "region = eu-west-1 in no section\n")


@pytest.mark.parametrize(
    ("address", "environ", "files", "why"),
    [
        ("s3://bucket/x", {}, None, "no credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID"),
        ("s3://bucket/x", {}, _files, "no credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID"),
        ("s3://bucket/x", {"AWS_PROFILE": "none"}, _files, "there is no profile none"),
        ("s3://bucket/x", {}, _broken, "config cannot be read (MissingSectionHeaderError)"),
        ("s3://bucket/x", {"AWS_ACCESS_KEY_ID": "half"}, None, "access denied: Missing SecretAccessKey"),
        (
            "gs://bucket/x",
            {"GOOGLE_APPLICATION_CREDENTIALS": "/none.json"},
            None,
            "GOOGLE_APPLICATION_CREDENTIALS names no file",
        ),
        ("az://bucket/x", {}, None, "no account is named: set AZURE_STORAGE_ACCOUNT"),
        ("az://bucket/x", {"AZURE_STORAGE_ACCOUNT": "a", "AZURE_STORAGE_KEY": "?"}, None, "Invalid Access Key"),
    ],
)
def test_missing_credentials_are_named_with_what_gives_some(
    home: Path,
    address: str,
    environ: Mapping[str, str],
    files: Callable[[Path], None] | None,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if files:
        files(home)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=re.escape(why)) as refused:
        opened(address)
    assert "access denied" in str(refused.value)


def test_a_machine_that_is_asked_for_its_role_and_has_none_is_no_credentials(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands for the machine refuses; of all other networks nothing is asked."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr("vmi.storage.bucket.HASTY_SECONDS", 0.1)
    for address in ("s3://bucket/x", "gs://bucket/x"):
        with pytest.raises(InputError, match="access denied: no credentials: set"):
            opened(address)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "ours")
    with pytest.raises(InputError, match="access denied: no credentials: set AZURE"):
        opened("az://bucket/x")


@pytest.mark.parametrize(
    ("address", "variable", "value"),
    [
        ("s3://bucket/x", "AWS_ENDPOINT_URL_S3", "localhost:9000"),
        ("s3://bucket/x", "AWS_ENDPOINT_URL", "ftp://host"),
        ("gs://bucket/x", "STORAGE_EMULATOR_HOST", "ftp://host"),
        ("az://bucket/x", "AZURE_STORAGE_CONNECTION_STRING", "AccountName=ours;AccountKey=c2VjcmV0;BlobEndpoint=host"),
    ],
)
def test_an_endpoint_that_is_no_address_is_named(
    address: str, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=r"its endpoint \S+ is no http:// or https:// address"):
        opened(address)


def test_a_certificate_that_nobody_knows_is_refused_at_once_and_one_of_the_user_s_own_is_taken(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Heard)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]  # it was refused
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"https://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("vmi.storage.bucket.HASTY_SECONDS", 10**6)  # asked again it would never end
    with pytest.raises(InputError, match="its certificate is not trusted"):
        opened("s3://bucket/x")
    store_of.cache_clear()
    monkeypatch.setenv("AWS_CA_BUNDLE", "/none.pem")
    with pytest.raises(InputError, match=r"AWS_CA_BUNDLE = /none\.pem: No such file"):
        opened("s3://bucket/x")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
    opened("s3://bucket/x")
    server.shutdown()
    server.server_close()


def test_what_breaks_the_library_itself_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://[::1")
    with pytest.raises(InputError, match="the object store cannot be used"):
        opened("s3://bucket/x")
