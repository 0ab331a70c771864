"""Clients that ask faster than one worker answers: one process, prepared bytes, many connections, every answer looked at."""
