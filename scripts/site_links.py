"""A hook of MkDocs: links from docs/ to other files of the repository become their names, as the site does not hold them.

A link to a file that does not exist ends the build.
"""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with links that the site can follow."""

    def named(link: re.Match[str]) -> str:
        text, path, _ = link.groups()
        target = (ROOT / "docs" / path).resolve()
        if not target.exists():
            raise FileNotFoundError(f"docs/{page.file.src_uri}: links to {path}, which does not exist")
        name = target.relative_to(ROOT)
        return text if text.strip("`") in (str(name), target.name) else f"{text} (`{name}`)"

    return _LINK.sub(named, markdown)
