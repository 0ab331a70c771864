"""TLS as it is configured: what is wrong with the files is named before anything starts."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from node.config import Config, ResolverSection
from node.encryption import EncryptionMistake, make_encryption
from tests.support.certificates import make_certificate
from tests.support.node import run_biaojie


def configured(certificate: Path, key: Path) -> Config:
    return Config(resolver=ResolverSection(tls_cert=str(certificate), tls_key=str(key)))


def test_a_certificate_and_its_key_make_a_context_and_none_makes_none(tmp_path: Path) -> None:
    assert make_encryption(configured(*make_certificate(tmp_path))) is not None
    assert make_encryption(Config()) is None


def absent(folder: Path) -> tuple[Path, Path]:
    return folder / "absent.pem", make_certificate(folder)[1]


def without_key(folder: Path) -> tuple[Path, Path]:
    return make_certificate(folder)[0], folder / "absent.pem"


def strangers(folder: Path) -> tuple[Path, Path]:
    (folder / "other").mkdir()
    return make_certificate(folder)[0], make_certificate(folder / "other")[1]


def locked(folder: Path) -> tuple[Path, Path]:
    certificate, key = make_certificate(folder)
    own = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    return certificate, key


def no_pem(folder: Path) -> tuple[Path, Path]:
    certificate, key = make_certificate(folder)
    certificate.write_text("a certificate")
    return certificate, key


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (absent, "resolver.tls_cert: .*absent.pem: it cannot be read: No such file"),
        (without_key, "resolver.tls_key: .*absent.pem: it cannot be read: No such file"),
        (strangers, "resolver.tls_key: .*key.pem: it is not the key of the certificate in .*certificate.pem"),
        (locked, "resolver.tls_key: .*key.pem: it is locked by a password"),
        (no_pem, "resolver.tls_cert, resolver.tls_key: .* are not a certificate chain and its key as PEM"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, files: Callable[[Path], tuple[Path, Path]], says: str) -> None:
    with pytest.raises(EncryptionMistake, match=says):
        make_encryption(configured(*files(tmp_path)))


def test_check_names_what_cannot_be_used(tmp_path: Path) -> None:
    certificate, key = strangers(tmp_path)
    done = run_biaojie("check", "--set", f"resolver.tls_cert={certificate}", "--set", f"resolver.tls_key={key}")
    assert done.returncode == 2
    assert "it is not the key of the certificate" in done.stderr
