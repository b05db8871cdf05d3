"""A local host that speaks the protocol of the kaggle client 2.2.5, and records what it received.

The client picks its host by KAGGLE_API_ENVIRONMENT: LOCALHOST is http://localhost, port 80. So that any free
port will do, `environment` also names this server as the proxy for http: the client then sends every request,
redirects and uploads included, to it, with the whole address in the request line.
"""

import base64
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

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
        self.stall_after: int | None = None  # bytes of the archive that are sent before the line goes silent
        self.refusals: dict[str, Refusal] = {}  # by the name of the request
        self.upload_status = 200
        self.unlisted_lists = 0  # times that a new submission is not listed yet
        self.pending_lists = 1  # times that a new submission is listed as PENDING
        self.verdict = {"status": "COMPLETE", "publicScore": "0.15113", "privateScore": "0.17022"}
        self.submissions: list[dict[str, Any]] = []  # newest first
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
            self._send(200, {"submissions": self._listed()})
        elif (call := "/".join(path.split("/")[-2:])) in CALLS:
            self._send(*CALLS[call](self.server.shelf, body, self.server.files))
        elif path.startswith(API):
            getattr(self, f"_{name}")(body)
        else:
            self._send(404, {"code": 404, "message": "Not found"})

    def do_GET(self) -> None:
        self.server.received.append(("archive", None))
        self.send_response(200)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Content-Length", str(len(self.server.archive)))
        self.end_headers()
        if self.server.stall_after is None:
            self.wfile.write(self.server.archive)
        else:
            self.wfile.write(self.server.archive[: self.server.stall_after])
            self.wfile.flush()
            self.server.closing.wait(60)

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

    def _StartSubmissionUpload(self, body: dict[str, Any]) -> None:
        token = f"token-{len(self.server.files)}"
        self.server.files[token] = (body["fileName"], b"")
        self._send(200, {"token": token, "createUrl": f"http://localhost/upload/{token}"})

    def _CreateSubmission(self, body: dict[str, Any]) -> None:
        name, _ = self.server.files[body["blobFileTokens"]]
        self.server.submit(name, body.get("submissionDescription", ""), status="PENDING")
        message = f"Successfully submitted to {body['competitionName']}"
        self._send(200, {"message": message, "ref": self.server.submissions[0]["ref"]})

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
