"""JSON and YAML with limits: what is refused, in which words, and that ordinary documents come through."""

import json
import subprocess
import sys

import pytest

from seg2d3d_ros.disk.documents import MAX_DEPTH, parse_json, parse_yaml, read_json, read_yaml, shown
from seg2d3d_ros.errors import DataError, UsageError

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)
MERGE_BOMB = "a: &a {k: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 10)}]}}\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    "text, words",
    [
        ('{"a": 1,\n "b" 2}', "line 2, column 6"),
        ("", "no valid JSON"),
        ("[" * 100_000, f"deeper than {MAX_DEPTH}"),
        ("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), f"deeper than {MAX_DEPTH}"),
        ('{"a":' * (MAX_DEPTH + 2) + "1" + "}" * (MAX_DEPTH + 2), f"deeper than {MAX_DEPTH}"),
        ("[NaN]", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("[1e999]", "1e999 is too large"),
        (f"[{10**30}]", "is too large"),
        (f"[{'9' * 5000}]", "is too large"),
        ('{"left": 1, "left": 2}', "'left' is given twice"),
        ('["\\ud800"]', "no name can hold"),
        ('{"a\\u0000b": 1}', "no name can hold"),
        (b'["\xff"]', "no usable JSON"),
    ],
)
def test_a_json_text_that_cannot_be_used_is_refused_with_its_place(text, words):
    with pytest.raises(DataError, match=r"^somewhere: ") as caught:
        parse_json(text, "somewhere", remedy="write it anew")
    message = str(caught.value)
    assert words in message
    assert message.endswith("; write it anew")
    assert "\n" not in message


@pytest.mark.parametrize(
    "text, words",
    [
        ("a: [1, 2\nb: 3", "line 2, column 2"),
        (BOMB, "more than 100000 values"),
        (MERGE_BOMB, "more than 100000 values"),
        ("a: &a [*a]", "an alias for what it stands in"),
        ("a: &a {<<: *a}", "an alias for what it stands in"),
        ("[" * 5000, f"deeper than {MAX_DEPTH}"),
        ("- " * 5000 + "1", f"deeper than {MAX_DEPTH}"),
        ("a: " + "9" * 5000, "is too large"),
        (f"a: {2**64}", "is too large"),
        ("a: 1\nb: 2\na: 3", "'a' is given twice, line 3"),
        ('a: "\\0"', "no name can hold"),
        ("a: \x1b[2J", "no usable YAML"),
        ("a: 2020-13-45", "no usable YAML"),
        ("a: !!python/object/apply:os.system [ls]", "line 1"),
        ("? {a: 1}\n: 2", "line 1"),
        (b"a: \xff\xfe\xff", "no usable YAML"),
        ("a: *b", "undefined alias"),
    ],
)
def test_a_yaml_text_that_cannot_be_used_is_refused_with_its_place(text, words):
    with pytest.raises(DataError, match=r"^somewhere: ") as caught:
        parse_yaml(text, "somewhere", remedy="write it anew")
    message = str(caught.value)
    assert words in message
    assert message.endswith("; write it anew")
    assert "\n" not in message


def test_ordinary_documents_come_through(tmp_path):
    value = {"a": [1, 2.5, -1e-300, None, True, "ä[{", 1780300802788103000, 2**64 - 1], "b": {"c": ["\\u0000", "[" * 200]}}
    assert parse_json(json.dumps(value), "x") == value
    assert parse_json(json.dumps(value, ensure_ascii=False), "x") == value
    path = tmp_path / "value.json"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_text(json.dumps(value, ensure_ascii=False), encoding=encoding)
        assert read_json(path) == value
    text = "base: &base {a: 1, b: [x, y]}\nmore: {<<: *base, a: 2}\nagain: *base\nn: 1e-3\nt: 'ä'\n"
    expected = {"base": {"a": 1, "b": ["x", "y"]}, "more": {"a": 2, "b": ["x", "y"]}, "again": {"a": 1, "b": ["x", "y"]}}
    assert parse_yaml(text, "x") == {**expected, "n": 1e-3, "t": "ä"}


def test_a_reader_that_judges_each_value_gets_the_bad_ones_too():
    value = parse_json('{"a": NaN, "b": 1e999, "b": 2, "c": 100000000000000000000000}', "x", lenient=True)
    assert str(value) == "{'a': nan, 'b': 2, 'c': 100000000000000000000000}"
    with pytest.raises(DataError, match="deeper"):
        parse_json("[" * 100_000, "x", lenient=True)


def test_what_a_surrogate_pair_means_is_kept():
    assert parse_json('["\\ud83c\\udfe0"]', "x") == ["🏠"]


def test_a_file_that_is_not_there_is_wrong_use_and_one_that_is_broken_is_not(tmp_path):
    with pytest.raises(UsageError, match=r"none.json: cannot be read \(No such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(UsageError, match="cannot be read"):
        read_yaml(tmp_path)
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(DataError, match=r"broken.yaml: no usable YAML"):
        read_yaml(tmp_path / "broken.yaml")
    with pytest.raises(UsageError, match=r"broken.yaml: no usable YAML"):
        read_yaml(tmp_path / "broken.yaml", error=UsageError)


def test_no_document_costs_more_memory_than_it_may(tmp_path):
    """In a process of its own, whose memory is limited to what the interpreter needs and a little more."""
    (tmp_path / "large.yaml").write_bytes(b"a: " + b"x" * (2 << 20))
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate((1 << 30) + 10)
    (tmp_path / "lists.json").write_bytes(b"[" + b"[]," * 20_000_000 + b"[]]")
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom seg2d3d_ros.disk import documents\n"
        "from seg2d3d_ros.errors import DataError\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1500 << 20, 1500 << 20)); documents.MAX_MEMORY = 1 << 30\n"
        "for name in sys.argv[1:]:\n"
        "    try: (documents.read_yaml if name.endswith('yaml') else documents.read_json)(Path(name))\n"
        "    except DataError as error: print(error)"
    )
    names = [str(tmp_path / name) for name in ("large.yaml", "large.json", "lists.json")]
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    yaml_line, json_line, lists_line = done.stdout.splitlines()
    assert "larger than 1 MB" in yaml_line
    assert "larger than 256 MB" in json_line
    assert "too large: 57 MB" in lists_line


def test_a_long_value_is_cut_in_messages():
    assert shown([1, 2]) == "[1, 2]"
    assert len(shown("x" * 10_000)) == 61
