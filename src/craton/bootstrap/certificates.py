"""A certificate authority of this Craton's own, and the server certificate that it signs.

The authority is made once, with the key in a 0600 file of the data folder; programs that are told
of its certificate trust this Craton and, through it, nobody else.
"""

import datetime as dt
import ssl
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from craton.kernel.errors import BadRequest
from craton.kernel.files import write_private

AUTHORITY_DAYS = 3650
SERVER_DAYS = 90
RENEW_DAYS_LEFT = 30
CLOCK_SKEW = dt.timedelta(days=1)
"""Certificates are good from a day ago, for clients whose clocks are late."""

_PEM = serialization.Encoding.PEM


class LocalAuthority:
    """The files of one folder: `ca.key`, `ca.pem`, `server.pem` with its key, and `bundle.pem`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key_file = folder / "ca.key"
        self.certificate = folder / "ca.pem"
        """The authority's certificate, for programs that add it to those they trust."""
        self.bundle = folder / "bundle.pem"
        """The same with this system's own authorities, for programs that trust one file only."""
        self.server = folder / "server.pem"
        """The server's key and certificates."""

    def ensure(self, names: Sequence[str], now: dt.datetime) -> bool:
        """Make what is missing, about to expire, or for other names; true if any was made."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        authority = self._read_authority()
        made_authority = authority is None or authority[1].not_valid_after_utc <= now + _days(
            SERVER_DAYS
        )
        if made_authority or authority is None:
            authority = self._make_authority(now)
        key, certificate = authority
        if not made_authority and self._is_good(names, certificate, now):
            return False
        self._make_server(names, key, certificate, now)
        return True

    def _read_authority(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None:
        if not self._key_file.exists() or not self.certificate.exists():
            return None
        try:
            key = serialization.load_pem_private_key(self._key_file.read_bytes(), None)
            certificate = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        except (ValueError, TypeError) as error:
            raise BadRequest(
                f"The certificate authority in {self._folder} is damaged: {error}. Put its files "
                "back, or remove the folder: a new authority is made, which programs must be told "
                'of again (`eval "$(craton env)"`).'
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            return None
        return (key, certificate) if key.public_key() == certificate.public_key() else None

    def _make_authority(
        self, now: dt.datetime
    ) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Craton local authority")
        certificate = (
            _builder(key.public_key(), name, now, AUTHORITY_DAYS, issuer=(key.public_key(), name))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        write_private(self._key_file, _key_pem(key))
        write_private(self.certificate, certificate.public_bytes(_PEM))
        write_private(self.bundle, certificate.public_bytes(_PEM) + b"\n" + _authorities())
        return key, certificate

    def _is_good(self, names: Sequence[str], authority: x509.Certificate, now: dt.datetime) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(self.server.read_bytes())
            certificate.verify_directly_issued_by(authority)
        except (OSError, ValueError, TypeError, InvalidSignature):
            return False  # missing, damaged, or of another authority
        is_lasting = certificate.not_valid_after_utc > now + _days(RENEW_DAYS_LEFT)
        is_begun = certificate.not_valid_before_utc <= now
        return is_lasting and is_begun and set(names) <= set(names_of(certificate))

    def _make_server(
        self,
        names: Sequence[str],
        authority_key: ec.EllipticCurvePrivateKey,
        authority: x509.Certificate,
        now: dt.datetime,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(
                key.public_key(),
                _name("Craton"),
                now,
                SERVER_DAYS,
                issuer=(authority_key.public_key(), authority.subject),
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]),
                critical=False,
            )
            .sign(authority_key, hashes.SHA256())
        )
        # One file, so that no worker ever reads a key beside another one's certificate.
        pem = certificate.public_bytes(_PEM) + authority.public_bytes(_PEM)
        write_private(self.server, _key_pem(key) + pem)


def names_of(certificate: x509.Certificate) -> list[str]:
    """The names and addresses that a certificate is for; a name may begin with `*.`."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return [*found.get_values_for_type(x509.DNSName), *addresses]


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a PEM file; BadRequest if there is none."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadRequest(
            f"There is no certificate to read in {path}: {error}. Give a PEM file."
        ) from None


def _builder(
    key: ec.EllipticCurvePublicKey,
    subject: x509.Name,
    now: dt.datetime,
    days: int,
    *,
    issuer: tuple[ec.EllipticCurvePublicKey, x509.Name],
) -> x509.CertificateBuilder:
    issuer_key, issuer_name = issuer
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + _days(days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
        )
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise BadRequest(
            f"No certificate can be made for the host {name!r}: {error}. Name it in ASCII."
        ) from None


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _authorities() -> bytes:
    """This system's authorities; nothing where OpenSSL has no file of them."""
    file = ssl.get_default_verify_paths().cafile or ""
    return Path(file).read_bytes() if Path(file).is_file() else b""


def _days(days: int) -> dt.timedelta:
    return dt.timedelta(days=days)
