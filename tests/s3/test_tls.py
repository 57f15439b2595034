"""TLS with a private authority, as many self-run services have it."""

from __future__ import annotations

import ssl
import subprocess
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from btrfs_to_s3.errors import InterruptedRunError, UnreachableError
from btrfs_to_s3.model.objects import Create, Role
from btrfs_to_s3.s3.gate import GateSettings
from btrfs_to_s3.stream.cancel import LinkedCancellation
from tests.s3.conftest import QUICK
from tests.s3.fakes import BY_MODEM, FakeWay, sha
from tests.s3.fault_proxy import FaultProxy, stall
from tests.s3.objects import BODY, create

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.s3.conftest import Place


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that signed itself; its key lies beside it."""
    path = tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    out = ["-keyout", str(tmp_path / "key.pem"), "-out", str(path)]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["openssl", "req", "-x509", *kind, *subject, *out]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture
def tls_proxy(moto: Place, certificate: Path) -> Iterator[FaultProxy]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with FaultProxy(moto.service.address, tls=context) as running:
        yield running


def test_a_private_authority_can_be_trusted_and_the_payload_is_signed_there_too(
    moto: Place, tls_proxy: FaultProxy, certificate: Path
) -> None:
    body = bytes(300_000)
    with moto.store(endpoint_url=tls_proxy.url, ca_bundle=str(certificate)) as store:
        store.put("k", body, sha256=sha(body), role=Role.DATA, condition=Create.ONLY_NEW)
        assert store.get("k", offset=1, size_bytes=299_999) == body[1:]
    (sent,) = (request for request in tls_proxy.seen if request.method == "PUT")
    assert sent.headers["x-amz-content-sha256"] == sha(body).hex()
    assert sent.body == body


def test_an_unknown_authority_is_refused_at_once_with_the_remedy(
    moto: Place, tls_proxy: FaultProxy
) -> None:
    with (
        moto.store(endpoint_url=tls_proxy.url) as store,
        pytest.raises(UnreachableError, match="CERTIFICATE_VERIFY_FAILED") as caught,
    ):
        store.check_access("repository.json")
    assert "ca_bundle" in (caught.value.hint or "")
    assert tls_proxy.connections == 1


def test_https_to_a_plain_http_service_is_refused_at_once(moto: Place) -> None:
    endpoint = moto.service.endpoint_url.replace("http:", "https:")
    with (
        moto.store(endpoint_url=endpoint) as store,
        pytest.raises(UnreachableError, match="no TLS connection") as caught,
    ):
        store.check_access("repository.json")
    assert "http://" in (caught.value.hint or "")


def test_a_request_that_hangs_on_tls_ends_within_seconds_of_its_cancellation(
    moto: Place, tls_proxy: FaultProxy, certificate: Path
) -> None:
    cancel = LinkedCancellation()
    with moto.store(endpoint_url=tls_proxy.url, ca_bundle=str(certificate)) as store:
        create(store, "k", BODY)
        tls_proxy.fail("GET", stall)
        threading.Timer(0.2, cancel.set).start()
        started = time.monotonic()
        with pytest.raises(InterruptedRunError, match="did not answer"):
            store.bound(cancel).get("k", offset=0, size_bytes=1)
    assert time.monotonic() - started < 5


def test_a_request_on_tls_is_broken_off_when_its_way_may_not_be_used_any_more(
    moto: Place, tls_proxy: FaultProxy, certificate: Path
) -> None:
    way, patient = FakeWay(), replace(QUICK, gate=GateSettings(patience_s=60.0))
    trusted, endless_s = str(certificate), 3600.0
    opened = moto.store(
        patient, way=way, endpoint_url=tls_proxy.url, ca_bundle=trusted, read_timeout_s=endless_s
    )
    with opened as store:
        create(store, "k", BODY)
        tls_proxy.fail("GET", stall)
        threading.Timer(0.2, setattr, (way, "why_not", BY_MODEM)).start()
        threading.Timer(1.5, setattr, (way, "why_not", None)).start()
        assert store.get("k", offset=0, size_bytes=len(BODY)) == BODY
