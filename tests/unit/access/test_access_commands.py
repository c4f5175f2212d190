import base64
import hashlib

import pytest

from craton.access.commands import NAME_LENGTH_MAX
from craton.access.contract import CreateAccount, CreateKey, CreateProject, RevokeKey
from craton.access.policy import ADMINISTER, authorize
from craton.access.records import KeyState, Role
from craton.kernel.errors import AccessDenied, BadRequest, Conflict, NotFound, Unauthenticated
from craton.store.kind import Change
from tests.unit.access.office import Office


def test_no_secret_lies_in_the_database_in_plain_text(office: Office) -> None:
    office.account()
    keys = [office.key(name=f"key {number}") for number in range(20)]
    at_rest = office.bytes_at_rest()
    assert keys[0].access_key_id.encode() in at_rest  # so the bytes are the right ones
    for key in keys:
        for secret in (key.secret_access_key, key.api_key):
            assert secret.encode() not in at_rest
            assert secret.removeprefix("sk-craton-").encode() not in at_rest
            for shift in range(3):  # JSON holds bytes as base64: look at each alignment
                encoded = base64.b64encode(b"x" * shift + secret.encode())
                assert encoded[4:-4] not in at_rest


def test_an_api_key_is_kept_as_its_digest_and_a_hint(office: Office) -> None:
    office.account()
    key = office.key()
    kept = office.directory.api_keys[key.api_key_id]
    assert kept.digest == hashlib.sha256(key.api_key.encode()).digest()
    assert kept.hint == key.api_key[-4:]


def test_a_worker_is_told_the_secret_that_signatures_need(office: Office) -> None:
    office.account()
    key = office.key()
    assert office.directory.access_key(key.access_key_id).secret.decode() == key.secret_access_key


def test_a_key_speaks_for_its_account_project_and_role(office: Office) -> None:
    account = office.account()
    key = office.key(role=Role.OPERATOR)
    principal = office.directory.bearer(key.api_key.encode())
    assert (principal.account, principal.project) == (account.id, key.project)
    assert (principal.key, principal.role) == (key.api_key_id, Role.OPERATOR)


def test_a_revoked_key_is_refused_and_its_twin_is_not(office: Office) -> None:
    office.account()
    key = office.key()
    office.do(office.access.revoke_key, RevokeKey(key.api_key_id))
    with pytest.raises(Unauthenticated, match="was revoked"):
        office.directory.bearer(key.api_key.encode())
    assert office.directory.access_key(key.access_key_id).state is KeyState.ACTIVE
    office.do(office.access.revoke_key, RevokeKey(key.access_key_id))
    with pytest.raises(Unauthenticated):
        office.directory.access_key(key.access_key_id)


def test_a_key_is_revoked_once(office: Office) -> None:
    office.account()
    key = office.key()
    office.do(office.access.revoke_key, RevokeKey(key.api_key_id))
    with pytest.raises(Conflict, match="revoked already"):
        office.do(office.access.revoke_key, RevokeKey(key.api_key_id))


def test_another_accounts_key_cannot_be_seen_or_revoked(office: Office) -> None:
    mine, other = office.account("mine"), office.account("other")
    key = office.key("other")
    with pytest.raises(NotFound):
        office.do(office.access.revoke_key, RevokeKey(key.api_key_id, account=mine.id))
    office.do(office.access.revoke_key, RevokeKey(key.api_key_id, account=other.id))


UNKNOWN = [b"", b"x", b"sk-craton-", b"sk-craton-" + b"A" * 43, b"\xff" * 60]


@pytest.mark.parametrize("text", UNKNOWN)
def test_an_unknown_api_key_is_refused_without_saying_it_back(office: Office, text: bytes) -> None:
    office.account()
    office.key()
    with pytest.raises(Unauthenticated) as refused:
        office.directory.bearer(text)
    assert len(text) <= 12 or text.decode("latin-1") not in refused.value.message


def test_a_key_that_vanished_is_unknown(office: Office) -> None:
    office.account()
    key = office.key()
    office.directory.apply(Change("api_key", key.api_key_id, None))
    office.directory.apply(Change("access_key", key.access_key_id, None))
    with pytest.raises(Unauthenticated):
        office.directory.bearer(key.api_key.encode())
    with pytest.raises(Unauthenticated):
        office.directory.access_key(key.access_key_id)


def test_an_account_has_twelve_digits_and_a_default_project(office: Office) -> None:
    account = office.account()
    assert len(account.id) == 12
    assert account.id.isdigit()
    (project,) = office.directory.projects.values()
    assert (project.name, project.account) == ("default", account.id)
    assert office.directory.accounts[account.id] == account


def test_names_are_taken_once_in_their_account(office: Office) -> None:
    office.account("mine")
    office.account("other")
    with pytest.raises(Conflict):
        office.account("mine")
    office.key("mine", "k")
    office.key("other", "k")
    with pytest.raises(Conflict):
        office.key("mine", "k")
    office.do(office.access.create_project, CreateProject("mine", "p"))
    with pytest.raises(Conflict):
        office.do(office.access.create_project, CreateProject("mine", "p"))


def test_a_key_belongs_to_a_project_that_exists(office: Office) -> None:
    office.account("mine")
    with pytest.raises(NotFound, match="no project 'absent'"):
        office.do(office.access.create_key, CreateKey("mine", "k", project="absent"))
    with pytest.raises(NotFound, match="no account 'absent'"):
        office.do(office.access.create_key, CreateKey("absent", "k"))


@pytest.mark.parametrize("name", ["", " x", "x ", "a\nb", "x" * (NAME_LENGTH_MAX + 1), "\x00"])
def test_a_wrong_name_is_refused(office: Office, name: str) -> None:
    with pytest.raises(BadRequest, match="must have 1 to 64"):
        office.do(office.access.create_account, CreateAccount(name))


def test_only_an_operators_key_may_administer(office: Office) -> None:
    office.account()
    member = office.directory.bearer(office.key(name="m").api_key.encode())
    operator = office.key(name="o", role=Role.OPERATOR)
    authorize(office.directory.bearer(operator.api_key.encode()), ADMINISTER)
    authorize(member, "bedrock:InvokeModel")
    with pytest.raises(AccessDenied, match="craton:Administer"):
        authorize(member, ADMINISTER)
