"""Names and addresses of hosts, as people write them."""


def check_host(host: str) -> None:
    """Raise `ValueError` for what cannot even be looked up: an empty or too long label, a control character.

    The system's resolver would not say that there is no such host, but raise what nobody expects of a network.
    """
    try:
        host.encode("idna")
    except UnicodeError:
        is_name = False
    else:
        is_name = bool(host) and host.isprintable() and not any(char.isspace() for char in host)
    if not is_name:
        raise ValueError(f'"{host}" is not the name or address of a host')
