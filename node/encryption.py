"""TLS of the resolver's gRPC as it is configured: certificate chain and private key, and what is wrong with them."""

import ssl
from pathlib import Path
from typing import Final, NoReturn

from node.config import Config

CERTIFICATE_KEY: Final = "resolver.tls_cert"
PRIVATE_KEY: Final = "resolver.tls_key"

# What HTTP/2 is spoken in (RFC 9113 3.2).
_PROTOCOLS: Final = ["h2"]
# Of TLS 1.2 those suites that HTTP/2 does not forbid (RFC 9113 9.2.2, appendix A); those of 1.3 are all good.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


class EncryptionMistake(Exception):
    """What is wrong with the files, in a sentence that names the key."""


class _Locked(Exception):
    """The private key asks for a password."""


def make_encryption(config: Config) -> ssl.SSLContext | None:
    """The context for listeners that speak HTTP/2; None if no certificate is configured. Raises `EncryptionMistake`."""
    certificate, key = config.resolver.tls_cert, config.resolver.tls_key
    if not certificate:
        return None
    for name, path in ((CERTIFICATE_KEY, certificate), (PRIVATE_KEY, key)):
        _check_readable(name, Path(path))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(_PROTOCOLS)
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION  # RFC 9113 9.2.1
    try:
        context.load_cert_chain(certificate, key, _refuse)
    except _Locked:
        raise EncryptionMistake(f"{PRIVATE_KEY}: {key}: it is locked by a password, which nobody is there to type") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise EncryptionMistake(f"{PRIVATE_KEY}: {key}: it is not the key of the certificate in {certificate}") from None
        raise EncryptionMistake(
            f"{CERTIFICATE_KEY}, {PRIVATE_KEY}: {certificate} and {key} are not a certificate chain and its key as PEM: {error}"
        ) from None
    return context


def _check_readable(name: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise EncryptionMistake(f"{name}: {path}: it cannot be read: {error.strerror}") from None


def _refuse() -> NoReturn:
    """Instead of a question on the terminal."""
    raise _Locked
