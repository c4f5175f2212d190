"""The server's side of TLS: versions, ALPN, and a certificate that may be renewed under it."""

import ssl
from pathlib import Path

from craton.kernel.errors import BadRequest

ALPN = ("h2", "http/1.1")


class ServerTls:
    """A TLS context over a certificate (chain) and its key, read again when their files change."""

    def __init__(self, certificate: Path, key: Path | None = None) -> None:
        self._certificate = certificate
        self._key = key
        """None if the key stands in the certificate's file."""
        self._seen = self._stamps()
        self.context = _context()
        self._load(self.context)

    def refresh(self) -> bool:
        """Read the files again if they changed; true if new handshakes use a new certificate.

        BadRequest if what is there now can't be used; the old certificate stays in use.
        """
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        # First into another context: a key that doesn't belong to the certificate, as it may be
        # while both files are being replaced, would leave this one unusable.
        self._load(_context())
        self._load(self.context)
        self._seen = stamps
        return True

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            of_key = f" with the key {self._key}" if self._key is not None else ""
            raise BadRequest(
                f"The TLS certificate {self._certificate}{of_key} can't be used: {error}. Give PEM "
                "files of a certificate and of its key, without a password."
            ) from None

    def _stamps(self) -> list[tuple[int, int, int]]:
        files = [self._certificate] if self._key is None else [self._certificate, self._key]
        try:
            stats = [file.stat() for file in files]
        except OSError as error:
            raise BadRequest(f"The TLS file {error.filename} can't be read: {error}.") from None
        return [(stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats]


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(ALPN)
    # RFC 9113, 9.2: HTTP/2 has no renegotiation; compression tells secrets (CRIME).
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")
