"""A local stand-in for the part of the Hub's HTTP that `huggingface_hub` uses for packages."""

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class HubState:
    """Files by repository and commit. `corrupt` changes what is served after it was uploaded."""

    commits: dict[str, list[tuple[str, dict[str, bytes]]]] = field(default_factory=dict)
    corrupt: dict[str, bytes] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)

    def add(self, repository: str, files: dict[str, bytes]) -> str:
        history = self.commits.setdefault(repository, [])
        merged = (history[-1][1] if history else {}) | files
        commit = hashlib.sha1(repr(sorted(merged.items())).encode()).hexdigest()
        history.append((commit, merged))
        return commit

    def at(self, repository: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        history = self.commits.get(repository, [])
        if revision == "main":
            return history[-1] if history else None
        return next((entry for entry in history if entry[0] == revision), None)


class _Handler(BaseHTTPRequestHandler):
    state: HubState
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args) -> None: ...

    def do_GET(self) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        if parts[:2] == ["api", "models"]:
            return self._info("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main")
        if "resolve" in parts:
            return self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return self._json(404, {"error": "not found"})

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        parts = urlsplit(self.path).path.strip("/").split("/")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if parts == ["api", "repos", "create"]:
            wanted = json.loads(body)
            name = "/".join(filter(None, [wanted.get("organization"), wanted["name"]]))
            self.state.private[name] = bool(wanted.get("private")) or wanted.get("visibility") == "private"
            self.state.commits.setdefault(name, [])
            return self._json(200, {"url": f"http://{self.headers['Host']}/{name}", "name": name})
        if "preupload" in parts:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            return self._json(200, {"files": files})
        if "commit" in parts:
            repository = "/".join(parts[2:4])
            lines = [json.loads(line) for line in body.splitlines()]
            files = {e["value"]["path"]: base64.b64decode(e["value"]["content"]) for e in lines if e["key"] == "file"}
            commit = self.state.add(repository, files)
            url = f"http://{self.headers['Host']}/{repository}/commit/{commit}"
            return self._json(200, {"success": True, "commitOid": commit, "commitUrl": url})
        return self._json(200, {"errors": [], "warnings": []})

    def _info(self, repository: str, revision: str) -> None:
        if not (found := self.state.at(repository, revision)):
            return self._json(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        siblings = [{"rfilename": name, "size": len(content)} for name, content in found[1].items()]
        info = {"id": repository, "modelId": repository, "sha": found[0], "siblings": siblings, "private": False}
        return self._json(200, info)

    def _file(self, repository: str, revision: str, name: str) -> None:
        found = self.state.at(repository, revision)
        if not found or name not in found[1]:
            return self._json(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        content = self.state.corrupt.get(name, found[1][name])
        etag = hashlib.sha1(content).hexdigest()
        return self._answer(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": found[0]})

    def _json(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        self._answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextlib.contextmanager
def hub_server() -> Iterator[tuple[str, HubState]]:
    """The server's address and what it holds."""
    state = HubState()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", state
    finally:
        server.shutdown()
        server.server_close()
