"""nginx with one process, answering any path with a constant body."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from load_tests.peers.process import HOST, Peer, serving
from node.started import free_port

_CONFIGURATION: Final = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port};
        default_type application/json;
        location / {{ return 200 "{body}"; }}
    }}
}}
"""


@contextmanager
def constant(size: int, folder: Path) -> Iterator[Peer]:
    """Serve a body of `size` bytes."""
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, host=HOST, port=port, body="x" * size))
    with serving(["nginx", "-c", str(configuration)], port, folder) as peer:
        yield peer
