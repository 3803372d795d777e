"""A bucket for this room's tests; the secret of its keys must never be sent or said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from buckets import SECRET, Gate, served


@pytest.fixture(scope="session")
def server() -> Iterator[Gate]:
    pytest.importorskip("moto", reason="moto, the S3 server of tests, is not installed")
    with served() as gate:
        yield gate


@pytest.fixture
def gate(server: Gate, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """The bucket, empty and well behaved."""
    for name, value in {
        "no_proxy": "*", "AWS_ACCESS_KEY_ID": f"{SECRET}-id", "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": server.behind, "AWS_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    server.empty()
    server.behave()
    return server
