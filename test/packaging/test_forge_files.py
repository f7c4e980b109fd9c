"""Dockerfile, checks of the forge, and hooks before a commit: they cannot be run here, but what they name exists."""

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/checks.yml").read_text())


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile: each instruction and what follows, continued lines joined."""
    lines = [line for line in DOCKERFILE.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in joined]


def extras() -> set[str]:
    """The extras that setup.py declares."""
    for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())):
        if isinstance(node, ast.keyword) and node.arg == "extras_require" and isinstance(node.value, ast.Dict):
            return {ast.literal_eval(key) for key in node.value.keys if key is not None}
    raise AssertionError


def test_the_dockerfile_copies_what_exists_and_all_that_setup_needs():
    copied = set()
    for name, rest in instructions():
        if name == "COPY" and "--from=" not in rest:
            sources = [word for word in rest.split()[:-1] if not word.startswith("--")]
            for source in sources:
                assert (ROOT / source).exists(), source
            copied |= set(sources)
    assert {"setup.py", "setup.cfg", "package.xml", "seg2d3d_ros", "launch", "config", "resource"} <= copied
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not copied & set(ignored)


def test_the_image_is_of_two_stages_and_not_roots():
    found = instructions()
    assert [name for name, _ in found].count("FROM") == 2
    last = found[max(k for k, (name, _) in enumerate(found) if name == "FROM") :]
    user = dict(last)["USER"]
    assert user not in ("root", "0")
    assert any(name == "RUN" and "useradd" in rest and user in rest for name, rest in last)
    names = [name for name, _ in last]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert dict(last)["FROM"].startswith("ros:jazzy")
    assert any(name == "COPY" and "--from=build" in rest for name, rest in last)
    assert {name for name, _ in found} <= {"FROM", "ARG", "SHELL", "RUN", "WORKDIR", "COPY", "USER", "ENV", "ENTRYPOINT", "CMD"}
    assert (ROOT / "scripts/docker_entrypoint").stat().st_mode & 0o111


@pytest.mark.parametrize("name", ["Dockerfile", ".github/workflows/checks.yml", "README.md"])
def test_extras_that_are_named_exist(name):
    groups = re.findall(r"'\.\[([a-z0-9,]+)\]'|EXTRAS=([a-z0-9,]+)", (ROOT / name).read_text())
    named = {extra for pair in groups for group in pair for extra in group.split(",") if extra}
    assert named
    assert named <= extras()


def test_actions_are_pinned_and_no_secret_is_used():
    text = (ROOT / ".github/workflows/checks.yml").read_text()
    used = re.findall(r"uses: (\S+)", text)
    assert len(used) > 5
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action) for action in used)
    assert "secrets." not in text
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in WORKFLOW["jobs"].values())


def test_the_checks_cover_style_tests_wheel_documents_and_audit():
    jobs = WORKFLOW["jobs"]
    assert {"lint", "tests", "jazzy", "wheel", "documents", "audit"} <= set(jobs)
    assert {"3.10", "3.11", "3.12"} <= set(jobs["tests"]["strategy"]["matrix"]["python"])
    commands = "\n".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    style = ("ruff check .", "ruff format --check .", "mypy", "lint-imports")
    for command in (*style, "pytest", "mkdocs build --strict", "pip-audit"):
        assert command in commands
    assert jobs["jazzy"]["container"] == "ros:jazzy"


def test_hooks_before_a_commit_are_local_and_call_what_exists():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local", "nothing is fetched"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        words = hook["entry"].split()
        assert words[0] in ("ruff", "mypy", "python")
        assert words[0] != "python" or (ROOT / words[1]).exists()
    assert {"ruff-check", "ruff-format", "mypy"} <= {hook["id"] for hook in repository["hooks"]}
