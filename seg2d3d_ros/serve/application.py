"""The web application: pages, pictures, and corrections."""

from __future__ import annotations

import json
import logging
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from seg2d3d_ros.errors import DataError, Seg2d3dError, UsageError
from seg2d3d_ros.findings import printable
from seg2d3d_ros.serve.guard import Guard, TooLarge, too_large
from seg2d3d_ros.serve.requests import Corrector, Stale
from seg2d3d_ros.serve.served_map import ServedMap
from seg2d3d_ros.viewer.browser import SCRIPTS, STYLE, asset

log = logging.getLogger(__name__)

PAGE = ("index.html", "app.js", "gallery.js", "picture.js", "tools.js", "dom.js", "page.css")
KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css"}


def application(served: ServedMap, corrector: Corrector) -> Starlette:
    """Without the guard, which everything must pass before it gets here."""

    def error(problem: Exception) -> Response:
        if isinstance(problem, Stale):
            status = 409
        elif isinstance(problem, UsageError):
            status = 400
        else:
            status = 422 if isinstance(problem, DataError) else 500
        words = printable(str(problem)) if isinstance(problem, Seg2d3dError) else "the server failed; its terminal says why"
        return JSONResponse({"error": words}, status)

    async def page(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name in PAGE:
            text = (files("seg2d3d_ros.serve") / "page" / name).read_text(encoding="utf-8")
        elif name in (*SCRIPTS, STYLE):
            text = asset(name)
        else:
            return JSONResponse({"error": "no such file"}, 404)
        return Response(text, media_type=KINDS[name.rpartition(".")[2]])

    async def state(request: Request) -> Response:
        try:
            content = await run_in_threadpool(served.content)
        except Seg2d3dError as problem:
            return error(problem)
        return JSONResponse(content.document)

    async def scene(request: Request) -> Response:
        try:
            return JSONResponse(await run_in_threadpool(served.scene))
        except Seg2d3dError as problem:
            return error(problem)

    async def picture(request: Request) -> Response:
        kind, name, width = request.path_params["kind"], request.path_params["name"], request.path_params["width"]
        if kind not in ("photo", "labels", "thumb"):
            return JSONResponse({"error": "no such picture"}, 404)
        try:
            data = await run_in_threadpool(served.picture, kind, name, width)
        except UsageError as problem:
            return JSONResponse({"error": printable(str(problem))}, 404)
        except Seg2d3dError as problem:
            return error(problem)
        return Response(data, media_type="image/png" if kind == "labels" else "image/jpeg")

    async def size(request: Request) -> Response:
        try:
            width, height = await run_in_threadpool(served.size, request.path_params["name"])
        except UsageError as problem:
            return JSONResponse({"error": printable(str(problem))}, 404)
        except Seg2d3dError as problem:
            return error(problem)
        return JSONResponse({"width": width, "height": height})

    async def correct(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return JSONResponse({"error": "corrections are sent as application/json"}, 415)
        try:
            asked: Any = json.loads(await request.body())
        except (ValueError, RecursionError):
            return JSONResponse({"error": "no valid JSON"}, 400)
        try:
            done = await run_in_threadpool(corrector.correct, asked)
            content = await run_in_threadpool(served.content)
        except Seg2d3dError as problem:
            return error(problem)
        except Exception as problem:  # the page waits for an answer, and the next correction is to be possible
            log.error("a correction failed: %s: %s", type(problem).__name__, printable(str(problem)))
            log.debug("where it failed", exc_info=True)
            return error(problem)
        notes = [finding.text for finding in done.findings if finding.kind.level != "note"]
        what = "" if done.edit is None else done.edit.in_words
        return JSONResponse({"what": what, "instances": list(done.ids), "notes": notes, "map": content.document})

    routes = [
        Route("/", page),
        Route("/page/{name}", page),
        Route("/favicon.ico", lambda _: Response(status_code=204)),
        Route("/api/map", state),
        Route("/api/scene", scene),
        Route("/api/size/{name:path}", size),
        Route("/api/picture/{kind}/{width:int}/{name:path}", picture),
        Route("/api/correct", correct, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={TooLarge: too_large})


def guarded(served: ServedMap, corrector: Corrector, port: int, token: str | None = None) -> Guard:
    """The application behind its guard."""
    return Guard(application(served, corrector), port, token)
