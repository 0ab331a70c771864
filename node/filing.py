"""Filing as it is configured: where the business management system is, and who we are to it."""

import ssl
from collections.abc import Sequence
from typing import Final

from adapters.upstream.epp.place import Place
from node.config import Config, Line

# RFC 5730 4.2: clIDType and pwType; passwords are longer in practice than its 16 characters.
CLIENT_CHARS: Final = (3, 64)
PASSWORD_CHARS: Final = (6, 128)


class FilingMistakes(Exception):
    """What is wrong with the configuration of filing, in sentences that name the key."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(self.mistakes))


def make_place(config: Config) -> Place:
    """The place to file at. Raises `FilingMistakes`; to be asked only if `filing.server` is configured."""
    filing, mistakes = config.filing, list[str]()
    host, _, port = filing.server.rpartition(":")
    for key, text, (least, most) in (
        ("client", filing.client, CLIENT_CHARS),
        ("password", str(filing.password), PASSWORD_CHARS),
    ):
        if not least <= len(text) <= most or not text.isprintable() or text != text.strip():
            mistakes.append(f"filing.{key}: {least} to {most} printable characters are wanted")
    tls = None
    if filing.line is Line.TLS:
        try:
            tls = ssl.create_default_context(cafile=filing.ca or None)
            if filing.cert:
                tls.load_cert_chain(filing.cert, filing.key or None)
        except (OSError, ssl.SSLError, ValueError) as error:
            mistakes.append(f"filing.ca, filing.cert, filing.key: they cannot be used: {error}")
    if mistakes:
        raise FilingMistakes(mistakes)
    return Place(host.strip("[]"), int(port), filing.client, str(filing.password), tls)
