"""What gcp-storage-emulator lacks of Google's store, said in front of it.

It has the JSON interface. Of the XML interface, by which obstore speaks, it has GET and PUT of an object, and it knows
no conditions. So lists, puts with metadata, heads and deletes are translated, and x-goog-if-generation-match is judged
here by the generation that the emulator gives: as https://cloud.google.com/storage/docs/xml-api/overview has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from support.spoiling_proxy import ERROR, Answer

CONDITION = "x-goog-if-generation-match"
META = "x-goog-meta-"


class Translated:
    """A server whose `forward` speaks XML to its client and JSON to the emulator."""

    page = 1000

    def make(self, bucket: str) -> None:
        assert self._json("POST", "/storage/v1/b?project=test", {"name": bucket})[0] == 200

    def contents(self, bucket: str) -> dict[str, bytes]:
        items = json.loads(self._json("GET", f"/storage/v1/b/{bucket}/o")[2]).get("items", ())
        return {item["name"]: self._media(bucket, item["name"]) for item in items}

    def forward(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        parts = urlsplit(path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        if not key:
            return self._listed(bucket, {name: value[0] for name, value in parse_qs(parts.query).items()})
        lower = {name.lower(): value for name, value in headers.items()}
        if method == "PUT":
            return self._put(bucket, key, lower, body)
        found = self._found(bucket, key)
        if not found:
            return _refusal(404, "NoSuchKey")
        if method == "DELETE":
            self._json("DELETE", f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}")
            return 204, {}, b""
        data = self._media(bucket, key)
        return 200, {**_said(found), "Content-Length": str(len(data))}, b"" if method == "HEAD" else data

    def overwrite(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        return self.forward("PUT", path, {n: v for n, v in headers.items() if n.lower() != CONDITION}, body)

    def tear(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        """Half a body is no put; the emulator would take it."""

    def _put(self, bucket: str, key: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if self._json("GET", f"/storage/v1/b/{bucket}")[0] != 200:
            return _refusal(404, "NoSuchBucket")
        found = self._found(bucket, key)
        if headers.get(CONDITION) not in (None, found["generation"] if found else "0"):
            return _refusal(412, "PreconditionFailed")
        # The emulator reads text and JSON where it is named: the bytes go up as such, their metadata after them.
        name, kind = quote(key, safe=""), "application/octet-stream"
        up = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}"
        status, _, said = self._http("POST", up, {"Content-Type": kind, "Content-Length": str(len(body))}, body)
        assert status == 200, said
        marks = {name.removeprefix(META): value for name, value in headers.items() if name.startswith(META)}
        told = {"metadata": marks, "contentType": headers.get("content-type", kind)}
        assert self._json("PATCH", f"/storage/v1/b/{bucket}/o/{name}", told)[0] == 200
        return 200, _said(json.loads(said)), b""

    def _listed(self, bucket: str, asked: Mapping[str, str]) -> Answer:
        query = "&".join(f"{name}={quote(asked[name], safe='')}" for name in ("prefix", "delimiter") if name in asked)
        status, _, said = self._json("GET", f"/storage/v1/b/{bucket}/o?{query}")
        if status == 404:
            return _refusal(404, "NoSuchBucket")
        known = json.loads(said)
        names = [(prefix, None) for prefix in known.get("prefixes", ())]
        names += [(item["name"], item) for item in known.get("items", ())]
        left = sorted(pair for pair in names if pair[0] > asked.get("continuation-token", ""))
        lines = ["<ListBucketResult>"]
        for name, item in left[: self.page]:
            if item is None:
                lines.append(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>")
            else:
                size, when, tag = item["size"], item["updated"], _tag(item)
                marks = f"<LastModified>{when}</LastModified><ETag>{escape(tag)}</ETag><Size>{size}</Size>"
                lines.append(f"<Contents><Key>{escape(name)}</Key>{marks}</Contents>")
        if left[self.page :]:
            lines.append(f"<NextContinuationToken>{escape(left[self.page - 1][0])}</NextContinuationToken>")
        return 200, {"Content-Type": "application/xml"}, "".join([*lines, "</ListBucketResult>"]).encode()

    def _found(self, bucket: str, key: str) -> Any:
        status, _, said = self._json("GET", f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}")
        return json.loads(said) if status == 200 else None

    def _media(self, bucket: str, key: str) -> bytes:
        return self._json("GET", f"/download/storage/v1/b/{bucket}/o/{quote(key, safe='')}?alt=media")[2]

    def _json(self, method: str, path: str, content: object = None) -> Answer:
        body = b"" if content is None else json.dumps(content).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))} if body else {}
        return self._http(method, path, headers, body)

    def _http(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        answer: Answer = super().forward(method, path, headers, body)  # type: ignore[misc]
        return answer


def _tag(item: Any) -> str:
    return f'"{item["generation"]}"'


def _said(item: Any) -> dict[str, str]:
    """The headers by which an object is described."""
    when = format_datetime(datetime.fromisoformat(item["updated"]), usegmt=True)
    marks = {f"{META}{name}": value for name, value in (item.get("metadata") or {}).items()}
    return {"ETag": _tag(item), "Last-Modified": when, "x-goog-generation": item["generation"],
            "Content-Type": item["contentType"], **marks}  # fmt: skip


def _refusal(status: int, code: str) -> Answer:
    return status, {}, ERROR.format(code=code).encode()
