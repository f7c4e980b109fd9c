"""What the documents say is so: generated pages, commands, links, topics, and the site as a whole."""

import ast
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from seg2d3d_ros.cli.arguments.parser import WrongCommandLine
from seg2d3d_ros.cli.main import COMMANDS, build_parser
from seg2d3d_ros.export.formats import FORMATS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LIMIT_S = 300.0


def test_the_reference_is_up_to_date():
    for path, text in runpy.run_path(str(ROOT / "scripts/draw_reference.py"))["drawn"]().items():
        assert path.read_text() == text, f"{path.name} is stale; mend: python scripts/draw_reference.py"


def commands_of(document: Path) -> list[str]:
    """The lines of its code blocks that call ``seg2d3d``, whole ones only."""
    blocks = re.findall(r"```(?:bash|console|sh)?\n(.*?)```", document.read_text(), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [re.split(r" \| | > |\s+# ", line)[0].removeprefix("$ ") for line in lines]
    return [line for line in found if line.startswith(("seg2d3d ", "scripts/seg2d3d ")) and "…" not in line]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_a_document_is_one_that_the_program_takes(document):
    for line in commands_of(document):
        words = shlex.split(re.sub(r"\$\w+", "1", line))[1:]
        try:
            build_parser(next((word for word in words if word in COMMANDS), None)).parse_whole(words)
        except WrongCommandLine as error:
            pytest.fail(f"{document.name}: {line}\n{error}")
        except SystemExit:
            assert {"--help", "--version"} & set(words)


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "SECURITY.md"], ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        path = link.partition("#")[0]
        if path and "://" not in link:
            assert (document.parent / path).exists(), f"{document.name} links to {link}"


def test_the_readme_is_short_and_says_what_is_so():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) < 150
    assert text.index("![") < text.index("```bash") < text.index("## ")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    example = (ROOT / "docs/examples/picture.py").read_text()
    body = example[example.index("import numpy") :].replace("sys.argv[1]", '"map"').replace("sys.argv[2]", '"picture.png"')
    assert code == body, "docs/examples/picture.py runs in test/api"
    assert len([line for line in code.splitlines() if line]) == 10
    assert f"[{len(FORMATS)} formats]" in text


def test_every_topic_of_the_nodes_is_in_the_documents():
    text = (ROOT / "docs/nodes.md").read_text()
    found = set()
    for path in [*(ROOT / "seg2d3d_ros/nodes").glob("*.py"), *(ROOT / "seg2d3d_ros/ros").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(re.findall(r"^(?:map|instances|keyframes|prompts)/[a-z_/]+$", node.value))
    assert {"map/points", "instances/labels", "keyframes/segments"} <= found, "the search finds what there is"
    assert {name for name in found if f"`{name}" not in text} == set()


def test_every_page_is_in_the_sites_contents():
    contents = (ROOT / "mkdocs.yml").read_text()
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f": {path.name}" not in contents] == []


def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site/commands/index.html").read_text()
    assert 'id="export"' in page
    article = (tmp_path / "site/architecture/index.html").read_text().partition("<article")[2]
    assert 'href="../seg2d3d_ros' not in article
    assert 'href="../../seg2d3d_ros' not in article


def test_a_link_out_of_the_documents_that_leads_nowhere_ends_the_build(tmp_path):
    hook = runpy.run_path(str(ROOT / "scripts/site_links.py"))["on_page_markdown"]

    class Page:
        class file:
            src_uri = "live.md"

    assert hook("see [types.py](../seg2d3d_ros/types.py)", Page) == "see types.py"
    assert hook("see [the rules](../CONTRIBUTING.md#rules)", Page) == "see the rules (`CONTRIBUTING.md`)"
    with pytest.raises(FileNotFoundError, match=r"live.md: links to ../nothing.py"):
        hook("see [x](../nothing.py)", Page)
