"""The local certificate authority: made once, its server certificate renewed in time."""

import datetime as dt
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from craton.bootstrap import tls
from craton.bootstrap.certificates import LocalAuthority, names_of, read_certificate
from craton.bootstrap.settings import Settings, checked, from_argument, to_argument
from craton.http import ServerTls
from craton.kernel.clock import ManualClock
from craton.kernel.errors import BadRequest

NOW = dt.datetime(2027, 1, 15, tzinfo=dt.UTC)
NAMES = ["localhost", "127.0.0.1", "::1", "gateway.internal"]


def made(folder: Path) -> LocalAuthority:
    authority = LocalAuthority(folder / "tls")
    assert authority.ensure(NAMES, NOW)
    return authority


def days(count: int) -> dt.timedelta:
    return dt.timedelta(days=count)


def test_the_key_is_private_and_the_certificate_is_for_the_names(tmp_path: Path) -> None:
    authority = made(tmp_path)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tls").iterdir()}
    assert modes["ca.key"] == modes["server.pem"] == 0o600
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    certificate = read_certificate(authority.server)
    assert sorted(names_of(certificate)) == sorted(NAMES)
    root = read_certificate(authority.certificate)
    certificate.verify_directly_issued_by(root)
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert authority.certificate.read_bytes() in authority.bundle.read_bytes()


def test_a_second_start_makes_nothing(tmp_path: Path) -> None:
    authority = made(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "tls").iterdir()}
    assert not authority.ensure(NAMES, NOW + days(59))
    assert not authority.ensure(NAMES[:2], NOW)
    assert {path: path.read_bytes() for path in (tmp_path / "tls").iterdir()} == before


@pytest.mark.parametrize("when", [NOW + days(61), NOW + days(400), NOW - days(30)])
def test_the_server_certificate_is_renewed_and_the_authority_stays(
    tmp_path: Path, when: dt.datetime
) -> None:
    authority = made(tmp_path)
    root, old = authority.certificate.read_bytes(), authority.server.read_bytes()
    assert authority.ensure(NAMES, when)
    assert authority.certificate.read_bytes() == root
    assert authority.server.read_bytes() != old
    renewed = read_certificate(authority.server)
    assert renewed.not_valid_before_utc < when < renewed.not_valid_after_utc - days(30)


def test_another_host_gets_another_certificate(tmp_path: Path) -> None:
    authority = made(tmp_path)
    assert authority.ensure([*NAMES, "10.0.0.7"], NOW)
    assert "10.0.0.7" in names_of(read_certificate(authority.server))


@pytest.mark.parametrize("file", ["server.pem", "ca.pem", "ca.key"])
def test_a_lost_file_is_made_again_and_all_fit_together(tmp_path: Path, file: str) -> None:
    authority = made(tmp_path)
    (tmp_path / "tls" / file).unlink()
    assert authority.ensure(NAMES, NOW)
    read_certificate(authority.server).verify_directly_issued_by(
        read_certificate(authority.certificate)
    )


def test_an_authority_near_its_end_is_replaced(tmp_path: Path) -> None:
    authority = made(tmp_path)
    root = authority.certificate.read_bytes()
    assert authority.ensure(NAMES, NOW + days(3600))
    assert authority.certificate.read_bytes() != root


def test_a_damaged_authority_is_said_to_be(tmp_path: Path) -> None:
    authority = made(tmp_path)
    (tmp_path / "tls" / "ca.key").write_text("x")
    with pytest.raises(BadRequest, match="damaged"):
        authority.ensure(NAMES, NOW)


def test_a_host_no_certificate_can_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="ASCII"):
        LocalAuthority(tmp_path / "tls").ensure(["grün"], NOW)


# The server's context.


def test_the_context_takes_nothing_below_tls_12(tmp_path: Path) -> None:
    context = ServerTls(made(tmp_path).server).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_renewed_certificate_is_read_and_a_broken_one_is_not(tmp_path: Path) -> None:
    authority = made(tmp_path)
    secured = ServerTls(authority.server)
    assert not secured.refresh()
    authority.ensure(NAMES, NOW + days(61))
    good = authority.server.read_bytes()
    assert secured.refresh()
    assert not secured.refresh()
    authority.server.write_bytes(good[:300])
    with pytest.raises(BadRequest, match="can't be used"):
        secured.refresh()
    with pytest.raises(BadRequest, match="can't be used"):  # and goes on saying so
        secured.refresh()
    authority.server.unlink()
    with pytest.raises(BadRequest, match="can't be read"):
        secured.refresh()
    authority.server.write_bytes(good)
    assert secured.refresh()


def test_a_key_with_a_password_or_of_another_certificate_is_refused(tmp_path: Path) -> None:
    authority = made(tmp_path)
    locked = tmp_path / "locked.pem"
    key = serialization.load_pem_private_key(authority.server.read_bytes(), None)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    for other in (locked, tmp_path / "tls" / "ca.key"):
        with pytest.raises(BadRequest, match="can't be used"):
            ServerTls(authority.server, other)


# What `craton up` makes of its settings.


def prepared(settings: Settings, now: dt.datetime = NOW, reachable: str = "127.0.0.1") -> tls.Trust:
    clock = ManualClock(int(now.timestamp()) * 1_000_000_000)
    return tls.prepare(settings, reachable=reachable, clock=clock, machine="box")


@pytest.mark.parametrize(
    ("host", "own"), [("127.0.0.1", None), ("0.0.0.0", "box"), ("10.0.0.7", "10.0.0.7")]
)
def test_the_certificate_is_for_loopback_and_the_host(
    tmp_path: Path, host: str, own: str | None
) -> None:
    settings = Settings(data=tmp_path, host=host, tls=True)
    trust = prepared(settings)
    assert trust.authority == str(tmp_path / "tls/ca.pem")
    names = names_of(read_certificate(settings.tls_folder / "server.pem"))
    assert sorted(names) == sorted({"localhost", "127.0.0.1", "::1", own} - {None})
    assert tls.server_tls(settings) is not None
    assert tls.server_tls(Settings(data=tmp_path)) is None


def test_a_certificate_of_ones_own_is_served_and_known_by_itself(tmp_path: Path) -> None:
    file = LocalAuthority(tmp_path / "own")
    file.ensure(["gateway.example.org", "*.example.org"], NOW)
    settings = Settings(data=tmp_path, tls_certificate=file.server, tls_key=file.server)
    assert settings.is_secured
    trust = prepared(settings)
    assert trust == tls.Trust(certificate=str(file.server), name="gateway.example.org")
    assert prepared(settings, reachable="gateway.example.org").name == ""
    assert not settings.tls_folder.exists()
    with pytest.raises(BadRequest, match="expired at 2027-04-15"):
        prepared(settings, NOW + days(91))


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="--tls-key"):
        checked(Settings(data=tmp_path, tls_certificate=tmp_path / "x"))
    with pytest.raises(BadRequest, match="can't be read"):
        prepared(Settings(tls_certificate=tmp_path / "x", tls_key=tmp_path / "y"))


def test_the_settings_reach_the_other_processes_whole(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, tls=True, tls_certificate=tmp_path / "a", tls_key=None)
    assert from_argument(to_argument(settings)) == settings
