"""The latency of labels is measured from the masks' arrival, and what is late is a finding."""

from __future__ import annotations

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.pipeline.live.label_latency import LABELS_LATE, LATE_SECONDS, RECENT, LabelLatency


def test_latency_counts_from_the_first_masks_to_the_first_labels():
    now, findings = 0.0, Findings()
    latency = LabelLatency(findings, lambda: now)
    assert latency.values() == {}
    latency.arrived("a")
    now = 2.0
    latency.arrived("b")
    latency.arrived("a")  # a second look
    now = 5.0
    latency.labelled(["a", "b", "of an earlier run"])
    assert latency.values() == {"label latency, median [s]": "4.0", "label latency, longest [s]": "5.0"}
    now = 1000.0
    latency.labelled(["a", "b"])  # their labels changed: no first ones
    assert latency.values()["label latency, longest [s]"] == "5.0"
    assert findings.list() == []


def test_late_labels_are_counted_with_the_longest():
    now, findings = 0.0, Findings()
    latency = LabelLatency(findings, lambda: now)
    for name in "abc":
        latency.arrived(name)
    now = LATE_SECONDS
    latency.labelled("a")
    assert findings.list() == []
    now = LATE_SECONDS + 30.0
    latency.labelled("bc")
    (found,) = findings.list()
    assert (found.kind, found.count, found.examples) == (LABELS_LATE, 2, ("b", "c"))
    assert f"at last {LATE_SECONDS + 30:.0f} s" in found.text


def test_only_recent_keyframes_are_reported_and_a_reset_forgets_all():
    now = 0.0
    latency = LabelLatency(Findings(), lambda: now)
    latency.arrived("slow")
    now = 50.0
    latency.labelled(["slow"])
    for k in range(RECENT):
        latency.arrived(str(k))
        now += 1.0
        latency.labelled([str(k)])
    assert latency.values()["label latency, longest [s]"] == "1.0"
    latency.arrived("before the reset")
    latency.forget()
    now += 500.0
    latency.labelled(["before the reset"])
    assert latency.values() == {}


def test_the_way_from_the_image_is_told_where_clocks_can_be_compared():
    latency = LabelLatency(Findings(), lambda: 0.0)
    for name in "abc":
        latency.arrived(name)
    latency.labelled("abc", {"a": (2.0, 3.0), "b": (4.0, 6.0), "elsewhere": (9.0, 9.0)})
    values = latency.values()
    assert (values["image to labelled cloud, median [s]"], values["image to labelled cloud, longest [s]"]) == ("3.0", "4.0")
    assert (values["image to labels, median [s]"], values["image to labels, longest [s]"]) == ("4.5", "6.0")
    latency.forget()
    assert latency.values() == {}
