"""Findings: counted by kind, told in words, listed in the documentation, and each provoked by a test."""

import json
import pickle
import re
import runpy
import threading
from pathlib import Path

from seg2d3d_ros.findings import ERROR, NOTE, Finding, Findings, Kind, printable

ROOT = Path(__file__).resolve().parents[2]
MASKS = Kind("masks", "photos without a mask", cause="looked for {wanted}, found {present}", remedy="rename the masks")
HARMLESS = Kind("harmless", "curiosities", cause="", remedy="", level=NOTE)
GRAVE = Kind("grave", "failures", cause="the disk is full", remedy="free space", level=ERROR)


def test_cases_of_a_kind_are_counted_together_and_told_in_one_sentence():
    found = Findings()
    found.add(MASKS, "a.jpg", of=20, wanted="a.png", present="a_mask.png")
    found.add(MASKS, "b.jpg", "c.jpg", "d.jpg")
    (finding,) = found.list()
    assert finding.text == (
        "photos without a mask: 4 of 20 (a.jpg, b.jpg, c.jpg, …); looked for a.png, found a_mask.png; rename the masks"
    )
    assert Finding(HARMLESS, 2).text == "curiosities: 2"
    assert pickle.loads(pickle.dumps(finding)) == finding


def test_metrics_hold_what_a_program_needs():
    entry = Finding(MASKS, 2, 5, ("a", "b")).to_json()
    assert json.loads(json.dumps(entry)) == entry
    assert (entry["code"], entry["level"], entry["count"], entry["of"]) == ("masks", "warning", 2, 5)
    assert "looked for …" in entry["text"]


def test_the_gravest_come_first_and_a_count_of_zero_removes():
    found = Findings()
    for kind in (HARMLESS, MASKS, GRAVE):
        found.add(kind)
    assert [finding.kind for finding in found.list()] == [GRAVE, MASKS, HARMLESS]
    found.put(Finding(MASKS, 0))
    found.put(Finding(GRAVE, 7))
    assert [(finding.kind, finding.count) for finding in found.list()] == [(GRAVE, 7), (HARMLESS, 1)]
    found.add(HARMLESS, count=0)
    assert found.list()[1].count == 1
    other = Findings()
    other.update(found.list())
    assert other.list() == found.list()
    found.clear()
    assert found.list() == []


def test_a_kind_is_told_first_and_when_its_count_has_doubled():
    told = []
    found = Findings(lambda finding: told.append(finding.count))
    for _ in range(20):
        found.add(MASKS)
    assert told == [1, 2, 4, 8, 16]


def test_no_case_is_lost_between_threads():
    found = Findings()
    threads = [threading.Thread(target=lambda: [found.add(MASKS) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.list()[0].count == 2000


def test_names_cannot_command_the_terminal_and_braces_in_them_are_harmless():
    found = Findings()
    found.add(MASKS, "a\x1b[31m{wanted}\n.jpg", wanted="{0}")
    assert "\x1b" not in found.list()[0].text
    assert r"a\x1b[31m{wanted}\n.jpg" in found.list()[0].text
    assert printable("grün 建物 \x07") == r"grün 建物 \x07"


def drawing():
    return runpy.run_path(str(ROOT / "scripts/draw_troubles.py"))


def test_the_tables_of_the_documentation_are_up_to_date():
    document = (ROOT / "docs/troubleshooting.md").read_text()
    assert document == drawing()["drawn"](document), "stale; mend: python scripts/draw_troubles.py"


def test_every_kind_has_a_code_of_its_own_and_stands_in_a_table():
    found = drawing()["kinds"]()
    codes = [kind["code"] for kinds in found.values() for kind in kinds]
    assert len(codes) == len(set(codes)) > 0
    document = (ROOT / "docs/troubleshooting.md").read_text()
    assert [code for code in codes if f"`{code}`" not in document] == []
    assert all(re.fullmatch("[a-z0-9_]+", code) for code in codes)


def test_every_kind_is_provoked_by_a_test():
    tests = "\n".join(path.read_text() for path in (ROOT / "test").rglob("test_*.py") if path != Path(__file__))
    names = [(kind["name"], kind["code"]) for kinds in drawing()["kinds"]().values() for kind in kinds]
    untested = [code for name, code in names if not re.search(rf"\b{name}\b|[\"']{code}[\"']", tests)]
    assert untested == [], "no test names these kinds of findings"
