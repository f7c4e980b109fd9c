#!/usr/bin/env python3
"""Write the table of folders in docs/architecture.md from the order in setup.cfg and the folders' docstrings."""

import ast
import configparser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- begin: made by scripts/draw_folders.py -->\n", "<!-- end -->\n"


def orders() -> dict[str, list[list[str]]]:
    """By package, its folders and modules from top to bottom; those of one list do not import each other."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    contracts = [config[section] for section in config.sections() if section.startswith("importlinter:contract:")]
    return {
        contract["containers"]: [[name.strip() for name in line.split("|")] for line in contract["layers"].split("\n") if line]
        for contract in contracts
        if contract["type"] == "layers"
    }


def label_and_docstring(package: str, name: str) -> tuple[str, str]:
    """``folder/`` or ``module.py``, and the first line of its docstring."""
    path = ROOT.joinpath(*package.split("."), name)
    label, source = (f"{name}/", path / "__init__.py") if path.is_dir() else (f"{name}.py", path.with_suffix(".py"))
    return label, (ast.get_docstring(ast.parse(source.read_text())) or "").partition("\n")[0]


def table() -> str:
    """The table of the package, and the order inside each folder that has one, as Markdown."""
    (package, layers), *inner = orders().items()
    lines = ["| folder | what goes in → what comes out |", "|---|---|"]
    for layer in layers:
        rows = [label_and_docstring(package, name) for name in layer]
        lines += [f"| `{label}` | {words.replace('``', '`')} |" for label, words in rows]
    siblings = "; ".join(", ".join(f"`{name}`" for name in layer) for layer in layers if len(layer) > 1)
    lines += ["", "An import points down in this table, also one inside a function or for type checking.", ""]
    lines += [f"- Not imported by each other: {siblings}."]
    for folder, order in inner:
        names = " > ".join(" | ".join(label_and_docstring(folder, name)[0] for name in layer) for layer in order)
        lines.append(f"- Inside `{folder.partition('.')[2]}/`, from top to bottom: {names}.")
    return "\n".join(lines) + "\n"


def drawn(document: str) -> str:
    """The document with its table renewed."""
    before, _, rest = document.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    DOCUMENT.write_text(drawn(DOCUMENT.read_text()))
