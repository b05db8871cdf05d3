"""A local host that speaks the protocol of the kaggle client 2.2.5, and records what it received.

The client picks its host by KAGGLE_API_ENVIRONMENT: LOCALHOST is http://localhost, port 80. So that any free
port will do, `environment` also names this server as the proxy for http: the client then sends every request,
redirects and uploads included, to it, with the whole address in the request line.
"""

import base64
import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

from helpers.archives import zipped
from helpers.kaggle_datasets import CALLS, Shelf

SLUG = "iceberg-or-ship"
RULES = f"https://www.kaggle.com/c/{SLUG}/rules"
PREDICTIONS = b"id,is_iceberg\na1,0.25\n"
USER, KEY, TOKEN = "alice", "0123456789abcdef", "KGAT_0123456789abcdef"
API = "/api/v1/competitions.CompetitionApiService/"


@dataclass
class Refusal:
    """An answer in place of the real one, with a message of the host or bare, so many times (-1: always)."""

    code: int
    message: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    times: int = -1


class KaggleServer(ThreadingHTTPServer):
    """Listen on a free port of the loopback interface while the context is open."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.archive = b""  # what DownloadDataFiles leads to
        self.data: dict[str, bytes] = {}  # single files by their names
        self.packs_larger_than = 10**9  # bytes: a larger single file is served in a zip of its own
        self.modified = "Mon, 23 Nov 2026 20:15:30 GMT"
        self.etag: str | None = '"v1"'  # None: neither that nor the time of the last change is sent
        self.stall_after: int | None = None  # bytes of the archive that are sent before the line goes silent
        self.cuts: list[int] = []  # bytes after which the line is cut, for each of the next answers with data
        self.slice_seconds = 0.0  # pause after each 64 kB, so that a process can be killed in the middle
        self.refusals: dict[str, Refusal] = {}  # by the name of the request
        self.upload_status = 200
        self.unlisted_lists = 0  # times that a new submission is not listed yet
        self.pending_lists = 1  # times that a new submission is listed as PENDING
        self.verdict = {"status": "COMPLETE", "publicScore": "0.15113", "privateScore": "0.17022"}
        self.submissions: list[dict[str, Any]] = []  # newest first
        self.limits = {"numToday": 1, "numTotal": 7, "numAllowedNow": 4, "limitedByTotal": False}
        self.competitions = {SLUG: True, "iceberg-or-whale": False}  # whether the user has entered
        self.received: list[tuple[str, Any]] = []  # (name of the request, body)
        self.files: dict[str, tuple[str, bytes]] = {}  # by token
        self.shelf = Shelf()  # datasets and notebooks
        self.closing = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    @property
    def names(self) -> list[str]:
        """The names of the requests received, in order."""
        return [name for name, _ in self.received]

    def environment(self) -> dict[str, str]:
        """Environment variables that lead the client here, without credentials."""
        return {
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "http_proxy": f"http://127.0.0.1:{self.server_port}",
            "no_proxy": "",
        }

    def submit(self, name: str, description: str, **fields: str) -> None:
        """Add a submission to the list, as if sent."""
        entry = {
            "ref": 1000 + len(self.submissions),
            "date": "2026-11-23T20:15:30.123456700Z",
            "description": description,
            "fileName": name,
        }
        self.submissions.insert(0, entry | fields)


class _Handler(BaseHTTPRequestHandler):
    server: KaggleServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self._body())
        path = urlsplit(self.path).path
        name = path.rpartition("/")[2]
        self.server.received.append((name, body))
        refusal = self.server.refusals.get(name)
        if refusal and refusal.times != 0:
            refusal.times -= 1
            answer = refusal.message and {"code": refusal.code, "message": refusal.message}
            self._send(refusal.code, answer, refusal.headers)
        elif path.endswith("/security.OAuthService/IntrospectToken"):
            active = body["token"] == TOKEN
            self._send(200, {"active": active, "username": USER if active else ""})
        elif not self._is_known():
            self._send(401, {"code": 401, "message": "Unauthenticated"})
        elif path == f"{API}ListSubmissions":
            first = (body.get("page", 1) - 1) * body["pageSize"]
            self._send(200, {"submissions": self._listed()[first : first + body["pageSize"]]})
        elif (call := "/".join(path.split("/")[-2:])) in CALLS:
            self._send(*CALLS[call](self.server.shelf, body, self.server.files))
        elif path.startswith(API):
            getattr(self, f"_{name}")(body)
        else:
            self._send(404, {"code": 404, "message": "Not found"})

    def do_GET(self) -> None:
        """Serve an archive or a file as a store does: in parts, if the client knows which object it has a part of."""
        server, path = self.server, unquote(urlsplit(self.path).path)
        name = path.partition("/data/")[2]
        if not name:
            data = server.archive
        elif name in server.data:
            data = server.data[name]
        else:
            name = name.removesuffix(".zip")
            data = zipped({name.rpartition("/")[2]: server.data[name]})
        asked = self.headers["Range"]
        known = self.headers["If-Range"] in (None, server.etag, server.modified)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and known else 0
        server.received.append(("archive", None) if not start else ("rest", start))
        if start >= len(data) > 0:
            self._send(416, None)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Content-Length", str(len(data) - start))
        if server.etag is not None:
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", server.etag)
            self.send_header("Last-Modified", server.modified)
        self.end_headers()
        end = min(len(data), start + server.cuts.pop(0)) if server.cuts else len(data)
        if server.stall_after is not None:
            end = min(end, server.stall_after)
        for place in range(start, end, 65536):
            self.wfile.write(data[place : min(place + 65536, end)])
            self.wfile.flush()
            server.closing.wait(server.slice_seconds)
        if server.stall_after is not None:
            server.closing.wait(60)
        if end < len(data):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_PUT(self) -> None:
        token = urlsplit(self.path).path.rpartition("/")[2]
        data = self._body()
        self.server.received.append(("upload", data))
        if self.server.upload_status == 200:
            self.server.files[token] = (self.server.files[token][0], data)
        self._send(self.server.upload_status, {})

    def _DownloadDataFiles(self, body: dict[str, Any]) -> None:
        address = f"http://localhost/storage/{body['competitionName']}/archive.zip?signature=abc"
        self._send(302, None, {"Location": address})

    def _DownloadDataFile(self, body: dict[str, Any]) -> None:
        name = body["fileName"]
        if name not in self.server.data:
            self._send(404, {"code": 404, "message": "Not found"})
            return
        suffix = ".zip" if len(self.server.data[name]) > self.server.packs_larger_than else ""
        address = f"http://localhost/data/{quote(name)}"
        self._send(302, None, {"Location": f"{address}{suffix}?signature=abc"})

    def _ListDataFiles(self, body: dict[str, Any]) -> None:
        first, size = int(body.get("pageToken") or 0), body.get("pageSize", 20)
        listed = [{"name": name, "totalBytes": len(data)} for name, data in sorted(self.server.data.items())]
        more = {"nextPageToken": str(first + size)} if first + size < len(listed) else {}
        self._send(200, {"files": listed[first : first + size], **more})

    def _StartSubmissionUpload(self, body: dict[str, Any]) -> None:
        token = f"token-{len(self.server.files)}"
        self.server.files[token] = (body["fileName"], b"")
        self._send(200, {"token": token, "createUrl": f"http://localhost/upload/{token}"})

    def _CreateSubmission(self, body: dict[str, Any]) -> None:
        name, _ = self.server.files[body["blobFileTokens"]]
        self.server.submit(name, body.get("submissionDescription", ""), status="PENDING")
        message = f"Successfully submitted to {body['competitionName']}"
        self._send(200, {"message": message, "ref": self.server.submissions[0]["ref"]})

    def _CreateCodeSubmission(self, body: dict[str, Any]) -> None:
        self.server.submit(body["fileName"], body.get("submissionDescription", ""), status="PENDING")
        self._send(200, {"message": "Successfully submitted", "ref": self.server.submissions[0]["ref"]})

    def _GetSubmission(self, body: dict[str, Any]) -> None:
        self._send(200, next(one for one in self.server.submissions if one["ref"] == body["ref"]))

    def _GetSubmissionLimits(self, body: dict[str, Any]) -> None:
        self._send(200, self.server.limits)

    def _ListCompetitions(self, body: dict[str, Any]) -> None:
        """Find the competitions whose names hold what is searched for."""
        found = [
            {
                "ref": f"https://www.kaggle.com/competitions/{slug}",
                "userHasEntered": entered,
                "deadline": "2018-01-23T23:59:00Z",
            }
            for slug, entered in self.server.competitions.items()
            if body["search"] in slug
        ]
        self._send(200, {"competitions": found})

    def _listed(self) -> list[dict[str, Any]]:
        listed = list(self.server.submissions)
        for entry in self.server.submissions:
            if entry["status"] == "PENDING":
                if self.server.unlisted_lists > 0:
                    self.server.unlisted_lists -= 1
                    listed.remove(entry)
                elif self.server.pending_lists == 0:
                    entry.update(self.server.verdict)
                else:
                    self.server.pending_lists -= 1
        return listed

    def _is_known(self) -> bool:
        basic = base64.b64encode(f"{USER}:{KEY}".encode()).decode()
        return self.headers["Authorization"] in (f"Basic {basic}", f"Bearer {TOKEN}")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def _send(self, code: int, answer: object, headers: dict[str, str] | None = None) -> None:
        data = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        if answer is not None:
            self.send_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
