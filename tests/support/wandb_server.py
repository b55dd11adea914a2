"""A W&B server on loopback, as small as the real clients allow: it keeps runs, files, artifacts and reports.

What it answers was found by looking at what wandb 0.31 and wandb-workspaces 0.4 ask. A question that it does not know
is kept in `unknown`, so that a test says which one it was.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_OPERATION = re.compile(r"(?:query|mutation)\s+(\w+)")


class Backend:
    """What a server keeps. `views` holds reports by id, `runs` what was told of each run, `files` what was uploaded."""

    def __init__(self) -> None:
        self.url = ""
        self.lock = threading.Lock()
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.unknown: list[str] = []
        self.views: dict[str, dict[str, Any]] = {}
        self.projects: set[str] = set()
        self.runs: dict[str, dict[str, Any]] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.refuse = ""

    def operations(self) -> list[str]:
        return [name for name, _ in self.asked]

    def answer(self, name: str, query: str, given: Mapping[str, Any]) -> dict[str, Any]:
        with self.lock:
            self.asked.append((name, given))
            handler = getattr(self, f"on_{name}", None)
            if handler is None:
                self.unknown.append(f"{name or query[:200]} {json.dumps(given)[:200]}")
                return {"errors": [{"message": f"not known here: {name}"}]}
            if self.refuse == name:
                return {"errors": [{"message": f"refused: {name}"}], "data": None}
            return {"data": handler(given)}

    # --- who, and which projects -------------------------------------------------------------------------------------

    def on_Viewer(self, given: Mapping[str, Any]) -> dict[str, Any]:
        none: dict[str, Any] = {"edges": []}
        who = {"id": "viewer", "entity": "lab", "username": "someone", "name": "someone", "flags": "{}", "admin": False}
        return {"viewer": who | {"email": "", "teams": none, "apiKeys": none}}

    def on_GetProjects(self, given: Mapping[str, Any]) -> dict[str, Any]:
        edges = [{"node": self._project(name), "cursor": name} for name in sorted(self.projects)]
        return {"models": {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": False}}}

    def on_ProjectInternalId(self, given: Mapping[str, Any]) -> dict[str, Any]:
        name = given["projectName"]
        return {"project": {"id": name, "internalId": f"internal-{name}"} if name in self.projects else None}

    def _project(self, name: str) -> dict[str, Any]:
        entity = {"id": "lab", "name": "lab"}
        return {
            "id": name, "name": name, "entityName": "lab", "entity": entity, "createdAt": "2026-01-01T00:00:00Z",
            "isBenchmark": False, "user": None,
        }  # fmt: skip

    # --- reports -----------------------------------------------------------------------------------------------------

    def on_upsertView(self, given: Mapping[str, Any]) -> dict[str, Any]:
        known = given.get("id")
        if known and known not in self.views:
            raise LookupError(f"no view {known}")
        key = known or f"view{len(self.views) + 1}"
        view = {
            "id": key, "type": given["type"], "name": given["name"], "displayName": given["displayName"],
            "description": given["description"], "spec": given["spec"], "updatedAt": "2026-01-01T00:00:00Z",
            "project": {"id": given["projectName"], "name": given["projectName"], "entityName": given["entityName"]},
        }  # fmt: skip
        self.views[key] = view
        return {"upsertView": {"view": view, "inserted": not known}}

    # --- runs --------------------------------------------------------------------------------------------------------

    def on_RunResumeStatus(self, given: Mapping[str, Any]) -> dict[str, Any]:
        run = self.runs.get(given["name"])
        if given["project"] not in self.projects:
            return {"model": None}
        return {"model": self._project(given["project"]) | {"bucket": run and self._bucket(run)}}

    def on_UpsertBucket(self, given: Mapping[str, Any]) -> dict[str, Any]:
        self.projects.add(given["project"])
        inserted = given["name"] not in self.runs
        run = self.runs.setdefault(given["name"], {"name": given["name"], "project": given["project"], "history": {}})
        run |= {key: value for key, value in given.items() if value is not None and key != "id"}
        return {"upsertBucket": {"bucket": self._bucket(run), "inserted": inserted}}

    def _bucket(self, run: Mapping[str, Any]) -> dict[str, Any]:
        lines = [run["history"][at] for at in sorted(run["history"])]
        return {
            "id": f"id-{run['name']}", "name": run["name"], "displayName": run.get("displayName") or run["name"],
            "description": "", "config": run.get("config", "{}"), "sweepName": None,
            "project": self._project(run["project"]), "historyLineCount": len(lines), "logLineCount": 0,
            "eventsLineCount": 0, "historyTail": json.dumps(lines[-1:]), "eventsTail": "[]", "tags": [], "notes": "",
            "summaryMetrics": json.dumps(run.get("summary", {})), "wandbConfig": json.dumps({"t": 1}),
        }  # fmt: skip

    def stream(self, run: str, told: Mapping[str, Any]) -> None:
        """A piece of a run's history or summary, as its client streams them."""
        kept = self.runs[run]
        for name, piece in (told.get("files") or {}).items():
            for number, line in enumerate(piece["content"], piece["offset"]):
                if name == "wandb-history.jsonl":
                    kept["history"][number] = line
                if name == "wandb-summary.json":
                    kept["summary"] = json.loads(line)
        if "exitcode" in told:
            kept["exitcode"] = told["exitcode"]

    def on_CreateRunFiles(self, given: Mapping[str, Any]) -> dict[str, Any]:
        files = [{"name": n, "uploadUrl": f"{self.url}/put/{given['run']}/{n}"} for n in given["files"]]
        return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": files}}

    # --- artifacts ---------------------------------------------------------------------------------------------------

    def on_ServerFeaturesQuery(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def on_ArtifactType(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"project": {"artifact": None}}

    def on_FetchArtifactDigestAlgorithm(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"project": {"artifactType": None}}

    def on_XXHashDigestsEnabled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"entity": {"xxhashDigestsEnabled": False}}

    def on_ClientIDMapping(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"clientIDMapping": None}

    def on_CreateArtifact(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """A version whose digest is known is found, not made: so the real server does it."""
        asked = given["input"]
        key = f"{asked['artifactCollectionName']}:{asked['digest']}"
        made = self.artifacts.setdefault(key, {"id": f"artifact{len(self.artifacts)}", "state": "PENDING", **asked})
        latest = {"latestArtifact": None}
        return {"createArtifact": {"artifact": {"id": made["id"], "state": made["state"], "artifactSequence": latest}}}

    def on_CreateArtifactManifest(self, given: Mapping[str, Any]) -> dict[str, Any]:
        target = {"id": "file", "uploadUrl": f"{self.url}/put/{given['artifactID']}/{given['name']}"}
        manifest = {"id": f"manifest-{given['artifactID']}", "file": target | {"uploadHeaders": []}}
        return {"createArtifactManifest": {"artifactManifest": manifest}}

    def on_UpdateArtifactManifest(self, given: Mapping[str, Any]) -> dict[str, Any]:
        target = {"id": "file", "uploadUrl": f"{self.url}/put/{given['artifactManifestID']}", "uploadHeaders": []}
        return {"updateArtifactManifest": {"artifactManifest": {"id": given["artifactManifestID"], "file": target}}}

    def on_CreateArtifactFiles(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"createArtifactFiles": {"files": {"edges": [self._place(f) for f in given["input"]["artifactFiles"]]}}}

    def _place(self, file: Mapping[str, Any]) -> dict[str, Any]:
        where = f"{file['artifactID']}/{file['name']}"
        node = {"storagePath": where, "uploadUrl": f"{self.url}/put/{where}", "uploadHeaders": []}
        return {"node": node | {"uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]}}}

    def on_CommitArtifact(self, given: Mapping[str, Any]) -> dict[str, Any]:
        made = next(a for a in self.artifacts.values() if a["id"] == given["artifactID"])
        made["state"] = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": made["id"], "digest": made["digest"]}}}


class Quiet(ThreadingHTTPServer):
    """Says nothing of a client that ends with its connections open, as W&B's does."""

    def handle_error(self, *_: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*_)


@contextmanager
def serving() -> Iterator[Backend]:
    """A server in a thread of this process, until the block ends."""
    backend = Backend()
    server = Quiet(("127.0.0.1", 0), _handler(backend))
    backend.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield backend
    finally:
        server.shutdown()
        server.server_close()


def _handler(backend: Backend) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self._body()
            if self.path.endswith("/graphql"):
                told = json.loads(body)
                found = _OPERATION.search(told["query"])
                answer = backend.answer(found[1] if found else "", told["query"], told.get("variables") or {})
                return self._send(json.dumps(answer).encode())
            if self.path.endswith("/file_stream"):
                backend.stream(self.path.split("/")[-2], json.loads(body))
            return self._send(b"{}")

        def do_PUT(self) -> None:
            backend.files[self.path.removeprefix("/put/")] = self._body()
            self._send(b"{}")

        def do_GET(self) -> None:
            self._send(b"{}")

        def _body(self) -> bytes:
            data = b"".join(self._chunks()) if self.headers.get("Transfer-Encoding") == "chunked" else self._plain()
            return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

        def _plain(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _chunks(self) -> Iterator[bytes]:
            while size := int(self.rfile.readline().strip(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        def _send(self, data: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler
