"""What goes wrong between us and an object store: what passes when one waits, and what each is as an OSError."""

from __future__ import annotations

import errno
from typing import Any

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

_PASSING_CODES = frozenset(
    ("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling", "ThrottlingException",
     "ConditionalRequestConflict", "OperationAborted", "BadDigest", "IncompleteBody")
)  # fmt: skip
# What came short, or changed on its way.
_SHORT = (boto.IncompleteReadError, boto.ResponseStreamingError, boto.FlexibleChecksumError, ResponseParserError)
_PASSING = (
    boto.ConnectionError,
    boto.HTTPClientError,  # closed, timed out
    ConnectionError,
    TimeoutError,
    *_SHORT,
)
# A certificate or a proxy that is wrong stays so.
_LASTING = (boto.SSLError, boto.ProxyConnectionError)
_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.ProfileNotFound,
    boto.CredentialRetrievalError,
)


def status_of(error: boto.ClientError) -> int:
    """The HTTP status of a refused request; 0 where there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_passing(error: Exception) -> bool:
    """Whether the same request may well succeed in a moment."""
    if isinstance(error, boto.ClientError):
        return status_of(error) in (408, 409, 429) or status_of(error) >= 500 or code_of(error) in _PASSING_CODES
    return isinstance(error, _PASSING) and not isinstance(error, _LASTING)


def named(error: Exception, where: str) -> OSError:
    """The error as an OSError of its kind, that names the object."""
    number, said = _kind(error)
    return OSError(number, said, where)


def _kind(error: Exception) -> tuple[int, str]:
    if isinstance(error, boto.ClientError):
        return _refused(error)
    if isinstance(error, _CREDENTIALS):
        return errno.EACCES, f"access denied: {error}"
    if isinstance(error, boto.ConnectTimeoutError | boto.ReadTimeoutError):
        return errno.ETIMEDOUT, f"the object store does not answer: {error}"
    if isinstance(error, _SHORT):
        return errno.EIO, f"what was read is not whole: {error}"
    if isinstance(error, boto.ConnectionError | boto.HTTPClientError | ConnectionError | TimeoutError):
        return errno.ECONNABORTED, f"the object store cannot be reached: {error}"
    return errno.EINVAL, f"the object store cannot be used: {error}"


def _refused(error: boto.ClientError) -> tuple[int, str]:
    status, code = status_of(error), code_of(error)
    if code == "NoSuchBucket":
        return errno.ENXIO, "the bucket does not exist"
    if status == 404:
        return errno.ENOENT, "there is no such object"
    if status in (401, 403):
        return errno.EACCES, f"access denied ({code})"
    if status in (301, 307, 400) and (region := _region(error)):
        return errno.EREMCHG, f"the bucket is in region {region}: set AWS_REGION"
    if status == 501 or code == "NotImplemented":
        return errno.ENOTSUP, "the object store does not know the condition of this put"
    number = errno.ECONNABORTED if is_passing(error) else errno.EIO
    return number, f"refused by the object store: {status} {code}, {_message(error)}"


def code_of(error: boto.ClientError) -> str:
    """What S3 calls the refusal: "SlowDown"."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _message(error: boto.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", "")) or "without a word"


def _region(error: boto.ClientError) -> Any:
    return error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
