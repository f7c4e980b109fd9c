"""``seg2d3d serve MAP``: look at a map in the browser, and correct it."""

from __future__ import annotations

import argparse
from pathlib import Path

from seg2d3d_ros.errors import UsageError

INTERRUPTED = "every correction that the page showed is kept in {map}; call the same command again"
EXAMPLES = ("seg2d3d serve map --open",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("map", type=Path, metavar="MAP", help="a finished map")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="of 127.0.0.1; default: any that is free")
    parser.add_argument("--author", default="", metavar="NAME", help="who corrects; is kept in the log")
    parser.add_argument("--open", action="store_true", help="open the address in the browser")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C; each correction is kept as soon as the page says so."""
    try:
        from seg2d3d_ros.serve.requests import Corrector
        from seg2d3d_ros.serve.served_map import ServedMap
        from seg2d3d_ros.serve.server import serve
    except ImportError as error:
        raise UsageError(f"the server needs starlette and uvicorn ({error}): pip install 'seg2d3d_ros[serve]'") from error

    served = ServedMap(args.map)
    corrector = Corrector(served, args.author)

    def ready(address: str) -> None:
        print(f"open {address}", "whoever has this address may change the map; Ctrl-C ends it", sep="\n", flush=True)
        if args.open:
            import webbrowser

            webbrowser.open(address)

    try:
        serve(served, corrector, args.port, ready)
    except KeyboardInterrupt:
        pass
    finally:
        if corrector.done:
            made = "1 correction" if corrector.done == 1 else f"{corrector.done} corrections"
            print(f"{made}; overlays/ and report.html are older: seg2d3d report {args.map}", flush=True)
    return 0
