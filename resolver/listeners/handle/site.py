"""The site that a node tells its clients about (HS_SITE, answer to GET_SITE_INFO)."""

from typing import Final

from proto.wire.handle.typed import HashOption, InterfaceInfo, Purpose, ServerInfo, SiteInfo, Transport

# Published as 2.0: from 2.1 on, stock clients set up a Diffie-Hellman session before they ask for anything that is not
# public, and give up if they cannot. It limits nothing else; the envelope still speaks the newest version.
SITE_VERSION: Final = (2, 0)
# Clients compare serials for equality only; ours changes when what the function below composes changes.
SITE_SERIAL: Final = 1


def node_site(address: str, handle_port: int, http_port: int | None = None, *, is_primary: bool = True) -> SiteInfo:
    """A site of one server at `address` (IPv4 or IPv6). TCP stands first: Chinese SDKs take the first TCP interface.

    Interfaces are for queries only, because nothing is administered over them.
    """
    interfaces = [
        InterfaceInfo(Purpose.QUERY, Transport.TCP, handle_port),
        InterfaceInfo(Purpose.QUERY, Transport.UDP, handle_port),
    ]
    if http_port:
        interfaces.append(InterfaceInfo(Purpose.QUERY, Transport.HTTP, http_port))
    server = ServerInfo(1, address, b"", tuple(interfaces))
    return SiteInfo(SITE_VERSION, SITE_SERIAL, is_primary, False, HashOption.WHOLE, b"", (("desc", "biaojie"),), (server,))
