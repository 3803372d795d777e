"""A web server on loopback: serves a folder by ranges, counts what it sends, and misbehaves."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

_STEP = 1 << 16  # bytes that share the line in turns


@dataclass
class Served:
    """A folder on a server; ``faults`` are taken one a request for a range, then it behaves."""

    folder: Path
    url: str = ""
    delay: float = 0.0  # seconds before each answer
    rate: float = 0.0  # bytes a second of all connections together; 0 for no limit
    faults: list[str] = field(default_factory=list)  # "500", "403", "cut", "silent"; "" for none
    fails_all: bool = False  # whatever is asked for, not ranges alone
    elsewhere: str = ""  # where every request is sent to
    spans: list[tuple[int, int]] = field(default_factory=list)  # that were sent
    silent: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    over: threading.Event = field(default_factory=threading.Event)
    lock: Any = field(default_factory=threading.Lock)
    free: float = 0.0  # when the line is free again

    @property
    def sent(self) -> int:
        """Bytes that were sent of the files."""
        return sum(b - a for a, b in self.spans)


@contextmanager
def serving(folder: Path, **how: Any) -> Iterator[Served]:
    """Serve a folder while the block runs."""
    served = Served(folder, **how)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Own", (_Handler,), {"served": served}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        served.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: Served
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        return

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        served = self.served
        time.sleep(served.delay)
        if served.elsewhere:
            self._refuse(302, Location=served.elsewhere + self.path.lstrip("/"))
            return
        path = served.folder / unquote(self.path).lstrip("/")
        if not path.is_file():
            self._refuse(404)
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        with served.lock:
            fault = served.faults.pop(0) if served.faults and (asked or served.fails_all) else ""
        if fault.isdigit():
            self._refuse(int(fault))
            return
        if fault == "silent":
            served.silent.release()
            served.over.wait(60)
            self.close_connection = True
            return
        size = path.stat().st_size
        tag = f'"{hashlib.md5(str(path.stat().st_mtime_ns).encode()).hexdigest()}"'
        if self.headers.get("If-Match", tag) != tag:
            self._refuse(412)
            return
        start, end = (int(asked[1]), min(int(asked[2]) + 1, size)) if asked else (0, size)
        self.send_response(206 if asked else 200)
        self.send_header("ETag", tag)
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(end - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()
        if not body:
            return
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(end - start)
        if fault == "cut":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return
        with served.lock:
            served.spans.append((start, end))
        if not served.rate:
            self.wfile.write(data)
            return
        for at in range(0, len(data), _STEP):
            step = data[at : at + _STEP]
            with served.lock:
                now = time.monotonic()
                served.free = max(served.free, now) + len(step) / served.rate
                wait = served.free - now
            time.sleep(wait)
            self.wfile.write(step)

    def _refuse(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()
