"""What goes wrong between us and an object store: what passes when one waits, and what each is as an OSError.

The library says a refusal's status and body in its words only; they are read there.
"""

from __future__ import annotations

import errno
import re

from obstore.exceptions import BaseError

from vmi.storage.clouds import HOW, region_of

# What the library raises: for a missing object and a wrong key in Python's own types.
LIBRARY = (BaseError, FileNotFoundError, ValueError, NotImplementedError)

_LIBRARYS = re.compile(r"^Generic \w+ error: ")
_STATUS = re.compile(r"(?:status code: |\(code: )(\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<\n]*)")
_REGION = re.compile(r"<Region>([a-z0-9-]+)</Region>")
_CAUSE = re.compile(r'(?:message|error): "([^"]+)"')
_PASSING_CODES = frozenset(
    ("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling", "ThrottlingException",
     "ConditionalRequestConflict", "OperationAborted", "BadDigest", "IncompleteBody", "Md5Mismatch")
)  # fmt: skip
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted")
_TAKEN = "BlobAlreadyExists"  # Azure's 409; elsewhere one that passes
# Where the library asks a machine for its role, once it has found no other credentials.
_ROLE = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
_UNCREDITED = re.compile(r"Missing \w*(?:Key|Token)|Invalid Access Key|credential|service account", re.IGNORECASE)
# Kinds of `HttpError`, and what a list or an answer to a delete is called that cannot be read.
_KIND = re.compile(r"HttpError \{\s+kind: (\w+)")
_SHORT = re.compile(r"Got invalid|Error getting list response|body error|missing start marker")


class NotWholeError(ValueError):
    """What came short, or changed on its way."""


def status_of(error: Exception) -> int:
    """The HTTP status of a refused request; 0 where there is none."""
    found = _STATUS.search(_words(error))
    return int(found[1]) if found else 0


def taken(error: Exception) -> bool:
    """Whether the condition of a put did not hold."""
    condition = type(error).__name__ in ("AlreadyExistsError", "PreconditionError")
    # For an object of a state, a key without object is another state.
    missing = status_of(error) == 404 and _code(error) not in _NO_BUCKET
    return condition and (status_of(error) in (304, 412) or missing or _code(error) == _TAKEN)


def is_passing(error: Exception) -> bool:
    """Whether the same request may well succeed in a moment."""
    status, code = status_of(error), _code(error)
    if status:
        return status in (408, 409, 429) or (status >= 500 and status != 501) or code in _PASSING_CODES
    # A certificate that is wrong stays so.
    return isinstance(error, NotWholeError) or (
        bool(_kind(error) or _SHORT.search(_words(error))) and not _untrusted(error)
    )


def named(error: Exception, scheme: str, where: str) -> OSError:
    """The error as an OSError of its kind, that names the object."""
    number, said = _refused(error, scheme, where) if status_of(error) else _failed(error, scheme, where)
    return OSError(number, said, where)


def _failed(error: Exception, scheme: str, where: str) -> tuple[int, str]:
    """Of a request that got no answer."""
    words = _words(error)
    if isinstance(error, OSError) and error.errno:
        return error.errno, error.strerror or words
    if any(role in words for role in _ROLE):
        return errno.EACCES, f"access denied: no credentials: {HOW[scheme]}"
    if "redirect without LOCATION" in words:
        region = region_of(where)
        return errno.EREMCHG, f"the bucket is in region {region or 'another one'}: set AWS_REGION"
    if isinstance(error, FileNotFoundError):
        return errno.ENOENT, "there is no such object"
    if isinstance(error, NotImplementedError):
        return errno.ENOTSUP, "the object store does not know the condition of this put"
    if _untrusted(error):
        return errno.EINVAL, "the object store cannot be used: its certificate is not trusted (AWS_CA_BUNDLE)"
    kind, cause = _kind(error), _CAUSE.findall(str(error))
    if kind == "Timeout":
        return errno.ETIMEDOUT, "the object store does not answer"
    if isinstance(error, NotWholeError) or _SHORT.search(words):
        return errno.EIO, f"what was read is not whole: {words}"
    if kind:
        return errno.ECONNABORTED, f"the object store cannot be reached: {cause[-1] if cause else 'it broke off'}"
    if _UNCREDITED.search(words):
        return errno.EACCES, f"access denied: {words}"
    return errno.EINVAL, f"the object store cannot be used: {words}"


def _refused(error: Exception, scheme: str, where: str) -> tuple[int, str]:
    status, code = status_of(error), _code(error)
    if any(f"//{role}" in _words(error) for role in _ROLE):
        return errno.EACCES, f"access denied: no credentials: {HOW[scheme]}"
    if code in _NO_BUCKET:
        return errno.ENXIO, "the bucket does not exist"
    if status == 404:
        return errno.ENOENT, "there is no such object"
    if status in (401, 403):
        return errno.EACCES, f"access denied ({code or status})"
    if region := _REGION.search(_words(error)):
        return errno.EREMCHG, f"the bucket is in region {region[1]}: set AWS_REGION"
    if status == 501 or code == "NotImplemented":
        return errno.ENOTSUP, "the object store does not know the condition of this put"
    number = errno.ECONNABORTED if is_passing(error) else errno.EIO
    message = _MESSAGE.search(_words(error))
    return number, f"refused by the object store: {status} {code}, {message[1] if message else 'without a word'}"


def _words(error: Exception) -> str:
    """What the library says, without its own structures."""
    return _LIBRARYS.sub("", str(error).partition("\n\nDebug source:")[0])


def _code(error: Exception) -> str:
    """What the store calls the refusal: "SlowDown"."""
    found = _CODE.search(_words(error))
    return found[1] if found else ""


def _kind(error: Exception) -> str:
    found = _KIND.search(str(error))
    return found[1] if found else ""


def _untrusted(error: Exception) -> bool:
    return "InvalidCertificate" in str(error) or "invalid peer certificate" in str(error)
