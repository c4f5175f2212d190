"""Secrets at rest: AES-256-GCM under a key in a 0600 file of the data folder.

Each box is bound to what it belongs to (the access key's id), so that a box moved to another row
doesn't open.
"""

import os
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from craton.kernel.errors import Internal
from craton.kernel.files import write_private

KEY_BYTES = 32
NONCE_BYTES = 12


class Vault:
    """Seals and opens secrets under one master key."""

    def __init__(self, key: bytes, randomness: Callable[[int], bytes] = os.urandom) -> None:
        assert len(key) == KEY_BYTES, "a vault key has 32 bytes"
        self._cipher = AESGCM(key)
        self._randomness = randomness

    def seal(self, secret: bytes, owner: str) -> bytes:
        """Encrypt a secret for its owner."""
        nonce = self._randomness(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, owner.encode())

    def open(self, box: bytes, owner: str) -> bytes:
        """Decrypt a secret; Internal if the master key or the owner is not the one it was for."""
        nonce, sealed = box[:NONCE_BYTES], box[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, sealed, owner.encode())
        except InvalidTag:
            raise Internal(
                f"The secret of {owner} can't be decrypted: the master key file is not the one it "
                "was encrypted with. Put the old file back, or revoke the key."
            ) from None


def open_vault(path: Path, randomness: Callable[[int], bytes] = os.urandom) -> Vault:
    """The vault of a master key file; makes the file (0600) the first time."""
    if not path.exists():
        write_private(path, randomness(KEY_BYTES))
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise Internal(
            f"The master key file {path} has {len(key)} bytes and should have {KEY_BYTES}, so no "
            "secret can be decrypted. Put the right file back."
        )
    return Vault(key, randomness)
