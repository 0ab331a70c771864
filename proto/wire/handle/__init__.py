"""The Handle protocol, version 2 (RFC 3651, RFC 3652): values, messages, framing for streams and datagrams."""
