"""Seals: data that only a holder of the node's key can read, and nobody can change, move or exchange unnoticed.

    format (1 byte) | key's id (8) | nonce (12) | AES-256-GCM of the data, with its tag

What a seal belongs to (a registrant, a paper, a reference) is bound to it as associated data: it opens nowhere else. The id
says which key a seal was made with, so that a key can be changed: old seals open with a former key and are made anew with the
present one. Keys and ids are derived, so an id says nothing of its key.
"""

import os
import struct
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_BYTES: Final = 32
_FORMAT: Final = 1
_HEAD: Final = struct.Struct(">B8s12s")
_ID_BYTES: Final = 8
# NIST SP 800-38D: random nonces of 96 bits hold for 2^32 seals of one key; a node makes some thousands in its life.
_NONCE_BYTES: Final = 12
_LENGTH: Final = struct.Struct(">I")


class Unopened(Exception):
    """A seal does not open; the message says why, for people, and nothing of what is in it."""


class Seals:
    """Makes seals with a key and opens those made with it or with a former one; keys have 32 bytes."""

    def __init__(self, key: bytes, former: Sequence[bytes] = ()) -> None:
        self._id = _derive(key, b"id", _ID_BYTES)
        self._ciphers = {_derive(each, b"id", _ID_BYTES): AESGCM(_derive(each, b"key", KEY_BYTES)) for each in (*former, key)}

    def seal(self, data: bytes, *bound: str) -> bytes:
        """The data, sealed to what it belongs to."""
        head = _HEAD.pack(_FORMAT, self._id, os.urandom(_NONCE_BYTES))
        return head + self._ciphers[self._id].encrypt(head[-_NONCE_BYTES:], data, _associated(head, bound))

    def open(self, sealed: bytes, *bound: str) -> bytes:
        """The data in a seal. Raises `Unopened`."""
        if len(sealed) < _HEAD.size or sealed[0] != _FORMAT:
            raise Unopened("it is no seal of a known format")
        head = sealed[: _HEAD.size]
        _, key_id, nonce = _HEAD.unpack(head)
        if key_id not in self._ciphers:
            raise Unopened("it was sealed with a key that this node has not: name it in node.seal_keys_former")
        try:
            return self._ciphers[key_id].decrypt(nonce, sealed[_HEAD.size :], _associated(head, bound))
        except InvalidTag:
            raise Unopened("it was changed, or belongs elsewhere") from None

    def is_current(self, sealed: bytes) -> bool:
        """Whether a seal was made with the present key."""
        return sealed[1 : 1 + _ID_BYTES] == self._id


def _derive(key: bytes, purpose: bytes, size: int) -> bytes:
    return HKDFExpand(SHA256(), size, b"biaojie seal 1 " + purpose).derive(key)


def _associated(head: bytes, bound: Sequence[str]) -> bytes:
    """The head and what the seal is bound to, each with its length, so that no two lists give the same."""
    parts = (each.encode() for each in bound)
    return head + b"".join(_LENGTH.pack(len(part)) + part for part in parts)
