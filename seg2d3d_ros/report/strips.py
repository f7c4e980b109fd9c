"""Which pictures the report shows of each instance, and their HTML."""

from __future__ import annotations

from collections.abc import Sequence

from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.report.content import Content, Instance
from seg2d3d_ros.report.pictures import CROP_HEIGHT, Pictures
from seg2d3d_ros.report.words import badge, count, escape, evenly, table

PICTURES_IN_STRIP = 12
PICTURES_IN_ALL = 420
MAX_STRIPS = 80
CONTACT_PICTURES = 24


def ranked(instances: Sequence[Instance]) -> list[Instance]:
    """Most seen first, then most points."""
    return sorted(instances, key=lambda item: (-len(item.images), -item.points, item.id))


def choose_crops(instances: Sequence[Instance]) -> dict[int, list[str]]:
    """Keyframe names to show of each instance that gets a strip, in order of capture, spread evenly over its track.

    With many instances the strips get shorter, so that the page stays small enough to send.
    """
    shown = ranked(instances)[:MAX_STRIPS]
    room = max(3, min(PICTURES_IN_STRIP, PICTURES_IN_ALL // max(len(shown), 1)))
    return {item.id: [item.images[k] for k in evenly(len(item.images), room)] for item in shown}


def choose_overlays(records: Sequence[KeyframeRecord]) -> list[str]:
    """Keyframe names for the contact sheet, in order of capture."""
    ordered = sorted(records, key=lambda record: (record.stamp_ns, record.name))
    return [ordered[k].name for k in evenly(len(ordered), CONTACT_PICTURES)]


def strips_section(instances: Sequence[Instance], chosen: dict[int, list[str]], pictures: Pictures) -> str:
    """A strip for each instance in ``chosen``, and a table of the others."""
    order = ranked(instances)
    parts = [_strip(item, chosen[item.id], pictures) for item in order if item.id in chosen]
    rest = [item for item in order if item.id not in chosen]
    if rest:
        rows = [
            (f'<span id="instance-{item.id}">{badge(item.id)}</span>', escape(item.class_name))
            + (str(len(item.images)), f"{item.points:,}", f"{item.score:.2f}")
            for item in rest
        ]
        listing = table(("id", "class", "images", "points", "score"), rows, (2, 3, 4))
        parts.append(f"<details><summary>{count(len(rest), 'more instance')}, seen less often</summary>{listing}</details>")
    return "".join(parts)


def _strip(item: Instance, names: Sequence[str], pictures: Pictures) -> str:
    cells = "".join(_picture(item, name, pictures) for name in names)
    left = len(item.images) - len(names)
    more = f"<div class=more>and {left} more</div>" if left else ""
    facts = f"{count(len(item.images), 'image')} · {count(item.points, 'point')} · score {item.score:.2f}"
    return (
        f'<article class=instance id="instance-{item.id}"><h3>{badge(item.id)} {escape(item.class_name)} '
        f"<small>{facts}</small></h3><div class=strip>{cells}{more}</div></article>"
    )


def _picture(item: Instance, name: str, pictures: Pictures) -> str:
    uri = pictures.crops.get((item.id, name))
    if uri:
        alternative = f"{item.class_name} {item.id} in {name}"
        shown = f'<img src="{uri}" height="{CROP_HEIGHT}" loading="lazy" alt="{escape(alternative)}">'
    else:
        shown = missing(name, pictures)
    return f"<figure>{shown}<figcaption>{escape(name)}</figcaption></figure>"


def missing(name: str, pictures: Pictures) -> str:
    """What stands where a picture should be."""
    return f"<div class=missing>No picture: {escape(pictures.missing.get(name, 'unknown reason'))}</div>"


def contact_section(content: Content, names: Sequence[str], pictures: Pictures) -> str:
    """Whole images with their instances in colours."""
    if not names:
        return ""
    registered, total = content.registered, len(content.records)
    cells = []
    for name in names:
        uri = pictures.overlays.get(name)
        image = f'<img src="{uri}" loading="lazy" alt="{escape(name)} with instances in colours">'
        note = "" if name in registered else " <i>not registered</i>"
        shown = image if uri else missing(name, pictures)
        cells.append(f"<figure>{shown}<figcaption>{escape(name)}{note}</figcaption></figure>")
    words = [f"{len(names)} of {count(total, 'image')}, evenly chosen."] if len(names) < total else []
    if content.instances:
        words.append("The same colour and number mean the same object.")
    return f"<p>{' '.join(words)}</p><div class=contact>{''.join(cells)}</div>"
