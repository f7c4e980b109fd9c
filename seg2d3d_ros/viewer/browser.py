"""The browser's side of the 3D view: the scripts and the style, as text to be put into a page or served."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any

SCRIPTS = ("three.min.js", "viewer.js")
"""To be run in this order; the first is three.js with its licence, the second defines the global ``MapViewer``."""
STYLE = "viewer.css"


def asset(name: str) -> str:
    """The text of a file of ``assets``."""
    return (files("seg2d3d_ros.viewer") / "assets" / name).read_text(encoding="utf-8")


def inline_json(document: Any) -> str:
    """JSON that may stand inside a ``<script type="application/json">``: nothing in it ends the element or begins a comment."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def script_hash(script: str) -> str:
    """The source expression by which a Content-Security-Policy allows exactly this inline script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
