"""DNS messages (RFC 1035) as an authoritative server needs them: queries in, answers out, and names for identifiers."""
