"""The server's process: a socket of the loopback interface, and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.serve.application import guarded
from seg2d3d_ros.serve.requests import Corrector
from seg2d3d_ros.serve.served_map import ServedMap

LOOPBACK = "127.0.0.1"
LARGEST_PORT = 65535


def serve(served: ServedMap, corrector: Corrector, port: int, ready: Callable[[str], None]) -> None:
    """Answer until the process is interrupted.

    Args:
        port: 0 = any that is free.
        ready: gets the address, with the token in it, when the server listens.

    Raises:
        UsageError: the port is taken.
    """
    if not 0 <= port <= LARGEST_PORT:
        raise UsageError(f"--port {port}: a port is a number from 1 to {LARGEST_PORT}, or 0 for any that is free")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind((LOOPBACK, port))
        except OSError as error:
            raise UsageError(
                f"--port {port}: cannot be listened at ({error.strerror}); choose another one, or 0 for any"
            ) from error
        own.listen(64)
        number = own.getsockname()[1]
        app = guarded(served, corrector, number)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, lifespan="off", timeout_graceful_shutdown=3
        )
        ready(f"http://{LOOPBACK}:{number}/?token={app.token}")
        uvicorn.Server(config).run(sockets=[own])
