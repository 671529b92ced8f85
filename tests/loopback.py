"""HTTP servers on 127.0.0.1 for tests: they serve bytes with ranges, redirect, and break off on demand."""

import hashlib
import json
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Loopback:
    """What a server shall answer, and what it was asked.

    Attributes:
        files (dict): path -> bytes.
        breaks (dict): path -> list of byte counts after which the next answers break off.
        answers (dict): path -> (status, headers, body) given as they are.
        requests (list): (method, path, headers) in order.
    """

    def __init__(self):
        self.files, self.breaks, self.answers, self.requests = {}, {}, {}, []
        self.etags, self.ranges, self.extra = {}, True, {}
        self.url = None

    def add(self, path, content):
        """Serve ``content`` (bytes, or anything JSON can write) at ``path``; returns its address."""
        self.files[path] = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.url + path

    def ranges_asked(self):
        return [headers["range"] for method, _, headers in self.requests if method == "GET" and "range" in headers]

    def gets(self, path):
        return sum(1 for method, asked, _ in self.requests if method == "GET" and asked == path)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Quiet."""

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        loopback, path = self.server.loopback, self.path.partition("?")[0]
        loopback.requests.append((self.command, path, {name.lower(): value for name, value in self.headers.items()}))
        if path in loopback.answers:
            status, headers, content = loopback.answers[path]
            return self._send(status, headers, content, body)
        if path not in loopback.files:
            return self._send(404, {}, b"no such file", body)
        content = loopback.files[path]
        etag = loopback.etags.get(path, f'"{hashlib.sha256(content).hexdigest()}"')
        headers = {**loopback.extra.get(path, {}), **({"ETag": etag} if etag else {})}
        wanted = self.headers.get("Range") if loopback.ranges else None
        if wanted and self.headers.get("If-Range", etag) == etag:
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            start, end = int(start), int(end) if end else len(content) - 1
            if start >= len(content):
                return self._send(416, {"Content-Range": f"bytes */{len(content)}"}, b"", body)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            return self._send(206, headers, content[start : end + 1], body, path)
        return self._send(200, headers, content, body, path)

    def _send(self, status, headers, content, body, path=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        breaks = self.server.loopback.breaks.get(path)
        if not body:
            return
        if breaks:
            self.wfile.write(content[: breaks.pop(0)])
            self.wfile.flush()
            self.close_connection = True
        else:
            with suppress(BrokenPipeError):  # some tests leave in the middle
                self.wfile.write(content)


@contextmanager
def serve():
    """A running :class:`Loopback` on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.loopback = Loopback()
    server.loopback.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.loopback
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
