"""The composition root: configuration, command line, supervisor and wiring. The only package that knows all others."""
