"""A bucket on loopback: moto's S3 server behind a gate that counts, and fails where it is told."""

from __future__ import annotations

import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BUCKET = "corpus"
SECRET = "hush-hush"  # of the keys that the environment has
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Gate:
    """What was asked and answered, and what is to go wrong with the next answers of a key."""

    address: str = ""  # of the bucket, through the gate
    behind: str = ""  # the server itself
    client: Any = None  # boto3's, to fill the bucket
    faults: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # key, headers
    blind: bool = False  # to conditions, as some servers are
    sent: int = 0  # bytes of bodies
    stalled: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body, ACL="public-read")

    def all_keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return sorted(one["Key"] for page in pages for one in page.get("Contents", []))

    def get(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def empty(self) -> None:
        for key in self.all_keys():
            self.client.delete_object(Bucket=BUCKET, Key=key)

    def behave(self) -> None:
        """Forget what was asked, and what was to go wrong."""
        self.blind, self.sent = False, 0
        self.faults.clear()
        self.asked.clear()

    def asked_for(self, key: str) -> list[dict[str, str]]:
        return [headers for name, headers in self.asked if name == key]


@contextmanager
def served() -> Iterator[Gate]:
    """The server and its gate, with an empty bucket that anybody may read."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    gate = Gate(behind=f"http://{host}:{port}")
    gate.client = boto3.client(
        "s3", endpoint_url=gate.behind, region_name="us-east-1", aws_access_key_id="test",
        aws_secret_access_key="test",
    )  # fmt: skip
    gate.client.create_bucket(Bucket=BUCKET, ACL="public-read")
    front = ThreadingHTTPServer(("127.0.0.1", 0), _handler(gate))
    front.daemon_threads = True
    threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.01}).start()
    gate.address = f"http://127.0.0.1:{front.server_port}/{BUCKET}"
    try:
        yield gate
    finally:
        front.shutdown()
        front.server_close()
        gate.client.close()
        server.stop()


def _handler(gate: Gate) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            key = self.path.removeprefix(f"/{BUCKET}/")
            gate.asked.append((key, dict(self.headers)))
            faults = gate.faults.get(key, [])
            fault, how = faults.pop(0) if faults else ("", None)
            if fault == "call":  # something happens in between
                how()
            if fault == "status":
                return self.answer(how, {}, b"")
            if fault == "redirect":
                return self.answer(302, {"Location": how}, b"")
            if fault == "instead":
                self.path = f"/{BUCKET}/{how}"
            status, headers, body = self.ask_behind()
            if fault == "headers":
                named = {name.lower() for name in how}
                headers = {k: v for k, v in headers.items() if k.lower() not in named} | how
            if fault == "damage":
                body = bytes([body[0] ^ 1]) + body[1:]
            self.answer(status, headers, body, cut=how if fault in ("cut", "stall") else None)
            if fault == "stall":
                self.wfile.flush()
                gate.stalled.acquire(timeout=60)

        def ask_behind(self) -> tuple[int, dict[str, str], bytes]:
            passed = ("Range",) if gate.blind else ("Range", "If-Match")
            kept = {k: v for k, v in self.headers.items() if k in passed}
            request = urllib.request.Request(gate.behind + self.path, headers=kept)
            try:
                with _DIRECT.open(request) as found:
                    return found.status, dict(found.headers), found.read()
            except urllib.error.HTTPError as e:
                with e:
                    return e.code, dict(e.headers), e.read()

        def answer(
            self, status: int, headers: dict[str, str], body: bytes, cut: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                if name not in ("Connection", "Server", "Date", "Transfer-Encoding"):
                    self.send_header(name, value)
            self.end_headers()
            body = body[:cut]
            gate.sent += len(body)  # before whoever reads it can ask
            self.wfile.write(body)
            self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    return Handler
