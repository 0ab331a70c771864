"""HS_PUBKEY data and JSON Web Keys (RFC 7517, RFC 7518 6.3): RSA, and the DSA keys of older Handle servers.

    algorithm str | flags 2 | RSA: exponent str, modulus str, 4 spare bytes | DSA: q str, p str, g str, y str

Integers stand as Java writes them: big-endian, with a leading zero byte where the first bit is set. The four spare bytes
are what stock software writes; a key that JSON would give back in other bytes is not taken apart.
"""

import base64
import binascii
import struct
from typing import Any, Final

from proto.errors import Refusal
from proto.handle_json.members import Members

_LENGTH: Final = struct.Struct(">I")
_NO_FLAGS: Final = b"\x00\x00"

_RSA: Final = b"RSA_PUB_KEY"
_DSA: Final = b"DSA_PUB_KEY"
# Members of the JWK in the order of the wire, and what follows the last.
_LAYOUTS: Final[dict[bytes, tuple[str, tuple[str, ...], bytes]]] = {
    _RSA: ("RSA", ("e", "n"), bytes(4)),
    _DSA: ("DSA", ("q", "p", "g", "y"), b""),
}
_ALGORITHMS: Final = {kind: algorithm for algorithm, (kind, _, _) in _LAYOUTS.items()}

# RSA of 16,384 bits is the largest that any peer can use; a longer number is a mistake or an attack on arithmetic.
MAX_NUMBER_BYTES: Final = 2_049


def render_key(data: bytes) -> dict[str, str] | None:
    """The JWK of an HS_PUBKEY, or None if it is not a key of the forms above."""
    fields = _split(data)
    if fields is None or len(fields) < 2 or fields[0] not in _LAYOUTS:
        return None
    kind, names, _ = _LAYOUTS[fields[0]]
    numbers = fields[1:]
    if len(numbers) != len(names):
        return None
    jwk = {"kty": kind} | {
        name: base64.urlsafe_b64encode(number.lstrip(b"\x00")).rstrip(b"=").decode()
        for name, number in zip(names, numbers, strict=True)
    }
    try:
        return jwk if compose_key(Members(dict[str, Any](jwk), "")) == data else None
    except Refusal:
        return None


def compose_key(jwk: Members) -> bytes:
    """The HS_PUBKEY data of a JWK. Raises `Refusal(INVALID_VALUE)` for a kind other than RSA and DSA, or a missing number."""
    algorithm = _ALGORITHMS.get(jwk.text("kty"))
    if algorithm is None:
        raise jwk.refuse("kty", "a key of kind RSA or DSA is wanted; give others as base64")
    _, names, spare = _LAYOUTS[algorithm]
    parts = [_sized(algorithm), _NO_FLAGS, *(_sized(_number(jwk, name)) for name in names), spare]
    return b"".join(parts)


def _number(jwk: Members, name: str) -> bytes:
    text = jwk.text(name)
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise jwk.refuse(name, "it is not base64url") from None
    unsigned = raw.lstrip(b"\x00")
    if not unsigned or len(unsigned) >= MAX_NUMBER_BYTES:
        raise jwk.refuse(name, f"a number of 1 to {MAX_NUMBER_BYTES - 1} bytes is wanted")
    return b"\x00" + unsigned if unsigned[0] & 0x80 else unsigned


def _sized(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def _split(data: bytes) -> list[bytes] | None:
    """The algorithm and the numbers of a key, or None if the lengths do not add up."""
    fields, at = [], 0
    while len(data) - at >= _LENGTH.size:
        (size,) = _LENGTH.unpack_from(data, at)
        if size == 0:
            break
        at += _LENGTH.size
        if size > MAX_NUMBER_BYTES or at + size > len(data):
            return None
        fields.append(data[at : at + size])
        at += size
        if len(fields) == 1:
            at += len(_NO_FLAGS)
    return fields
