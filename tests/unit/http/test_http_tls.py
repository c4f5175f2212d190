import datetime as dt
import ssl
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from craton.http import ConnectFailed, HttpClient, Origin

from .conftest import Serve, until


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, Callable[[], ssl.SSLContext]]:
    """A server's context with a certificate for 127.0.0.1, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "craton test")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36_500))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(path)
    server.set_alpn_protocols(["http/1.1"])
    return server, lambda: ssl.create_default_context(cafile=str(path))


async def test_requests_go_over_tls_and_the_connection_is_reused(
    serve: Serve,
    contexts: tuple[ssl.SSLContext, Callable[[], ssl.SSLContext]],
) -> None:
    server_context, client_context = contexts
    served = await serve(ssl_context=server_context)
    client = HttpClient(ssl_context=client_context)
    for text in (b"one", b"two"):
        response = await client.request(
            "POST", Origin("https", "127.0.0.1", served.port), "/", (), text
        )
        assert await response.read(100) == text
    assert served.server.counters.connections == 1
    assert served.server.counters.requests == 2
    client.close()
    await until(lambda: client.counters.connections_now == 0)


async def test_a_certificate_that_is_not_trusted_is_a_failed_connect(
    serve: Serve,
    contexts: tuple[ssl.SSLContext, Callable[[], ssl.SSLContext]],
) -> None:
    served = await serve(ssl_context=contexts[0])
    client = HttpClient()
    with pytest.raises(ConnectFailed, match="certificate verify failed"):
        await client.request("GET", Origin("https", "127.0.0.1", served.port), "/")
    client.close()
