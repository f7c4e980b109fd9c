"""One prompt to a map directory: a new object, or further clicks on one that was asked for before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.mapstore.files.prompts_file import PROMPTS_FILE, Click, Prompted, StoredPrompts, read_prompts
from seg2d3d_ros.mapstore.files.tree_file import read_tree
from seg2d3d_ros.mapstore.files.unedited_file import read_unedited
from seg2d3d_ros.mapstore.journal import IdentityJournal
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.prompts.choosing import Choice
from seg2d3d_ros.prompts.laying import facts_of, lay
from seg2d3d_ros.prompts.point_votes import points_held
from seg2d3d_ros.prompts.session import ClickNetwork, PromptSession

OBJECT = "object"
"""The class of what a model or network cut out, and no mask of the map."""
LOW_CONFIDENCE = 0.3
LOW_LIFT = Kind(
    "click_of_unsure_depth",
    "clicks whose place in the world is unsure",
    cause="few 3D points lie around them ({confidence:.2f} of 1)",
    remedy="look at the masks in the other images, and click where the object has texture, or in a second image",
)
NETWORK_EMPTY = Kind(
    "views_without_network_mask",
    "views that see the place of a click, in which the network finds nothing of the object",
    cause="something stands before it there, or it is smaller than a thousandth of the image",
    remedy="click on it in such an image (--instance {instance}), if it is there to be seen",
    level=NOTE,
)
MODEL_DISAGREES = Kind(
    "model_disagrees",
    "images in which the mask model and the votes of the other images disagreed to the end",
    cause="the model means another part there, something hides the object, or its place in 3D is not exact; {instead}",
    remedy="look at the object's masks in these images, and click in one of them (--instance ID), or name the level (--level)",
)
VOTES, OWN = (
    "the mask there is what the other images' masks make of it, or there is none",
    "the images agreed on nothing, and the answer is that of the map's own masks, without the model",
)


def ask(
    session: PromptSession,
    clicks: Sequence[Click],
    *,
    level: str = "fine",
    box: tuple[str, tuple[float, float, float, float]] | None = None,
    instance: int | None = None,
    findings: Findings | None = None,
    network: ClickNetwork | None = None,
) -> Prompted:
    """The object that clicks mean, under its id; nothing is written.

    Args:
        instance: the object that the clicks refine: one that was asked for before, with its former clicks, or any of the map.
        network: makes the masks, instead of those of the map.

    Raises:
        UsageError: no such instance, keyframe or pixel, or no positive click, place or box.
        DataError: no object is known there.
    """
    store = session.store
    former = read_prompts(store.root)
    objects = list(former.objects) if former is not None else []
    before = next((item for item in objects if item.id == instance), None)
    if instance is not None and before is None and _made_by_a_person(store, instance):
        raise UsageError(f"--instance {instance}: people made it; use `seg2d3d edit {store.root} redraw {instance}`")
    if instance is not None and before is None and instance not in _instance_ids(store):
        raise UsageError(f"--instance {instance}: the map has no such instance; without --instance the click makes a new one")
    every = (*(before.clicks if before else ()), *clicks)
    drawn = box or (before.box if before else None)
    if drawn is None and not any(click.positive for click in every):
        raise UsageError("nothing says where the object is; give --click X,Y, --point X,Y,Z or --box X0,Y0,X1,Y1")
    fallback = before.class_name if before else OBJECT
    return draw(session, every, level, drawn, findings, instance=instance, class_name=fallback, network=network)


def draw(
    session: PromptSession,
    clicks: Sequence[Click],
    level: str,
    box: tuple[str, tuple[float, float, float, float]] | None,
    findings: Findings | None,
    *,
    instance: int | None,
    class_name: str,
    network: ClickNetwork | None = None,
) -> Prompted:
    """The object that clicks mean.

    Args:
        instance: its number; None = the number of the map's instance that it is, or one that no object ever had.
        class_name: where it is made of no thing of the map.

    Raises:
        UsageError: no such keyframe or pixel.
        DataError: no object is known there.
    """
    answer = session.ask(clicks, level, box, network)
    former = read_prompts(session.store.root)
    given_id = instance or _id(session, answer.choice, list(former.objects) if former is not None else [])
    if findings is not None:
        for given, lift in zip(clicks, answer.lifts, strict=True):
            if lift is None or lift.confidence < LOW_CONFIDENCE:
                findings.add(LOW_LIFT, given.image or "", of=len(clicks), confidence=0.0 if lift is None else lift.confidence)
        if answer.disagreeing:
            instead = OWN if answer.disagreeing == answer.asked else VOTES
            findings.add(MODEL_DISAGREES, *sorted(answer.disagreeing), of=len(answer.asked), instead=instead)
        asked = len(answer.empty) + len(answer.regions)
        findings.add(NETWORK_EMPTY, *answer.empty, count=len(answer.empty), of=asked, instance=given_id)
    regions = {name: (region, session.shape(name)) for name, region in answer.regions.items()}
    include = answer.choice.include
    name_of = session.things[include[0]].class_name if include else class_name
    return Prompted(given_id, tuple(clicks), level, box, name_of, regions, answer.carried, {})


def write(session: PromptSession, store: MapStore, item: Prompted) -> Prompted:
    """Lay an answer over the labels of a map directory, which nobody else may be writing: the session's, or a copy of it.

    Returns:
        the object, with its points.

    Raises:
        DataError: a full disk, or a damaged file.
    """
    former = read_prompts(store.root)
    kept = [other for other in (former.objects if former is not None else ()) if other.id != item.id]
    laid = lay(store, [*kept, item], former, session.sights, session.models[0].up.direction)[-1]
    store.update_metrics({"truth": None})  # it was measured on other labels
    return laid


def keep(session: PromptSession, item: Prompted) -> Prompted:
    """Add an answer to the prompts of a map that somebody else writes at present: the map shows it when it is finalized.

    Returns:
        the object, with its points.

    Raises:
        DataError: a full disk, or a damaged file.
    """
    store = session.store
    former = read_prompts(store.root)
    rows, _ = points_held(session.sights, {name: region for name, (region, _) in item.regions.items()}, session.xyz)
    item = replace(item, facts=facts_of(item, session.xyz[rows], session.sights, session.models[0].up.direction))
    kept = [other for other in (former.objects if former is not None else ()) if other.id != item.id]
    if former is not None and former.laid:
        stored = replace(former, objects=[*kept, item])
    else:
        stored = StoredPrompts([*kept, item], store.read_tracks(), {}, laid=False)
    write_json(store.root / PROMPTS_FILE, stored.to_json())
    return item


def _instance_ids(store: MapStore) -> set[int]:
    """Of the map, with people's corrections and without."""
    unedited = read_unedited(store.root)
    tracks = [store.read_tracks()] + ([] if unedited is None else [unedited.tracks])
    return {int(item["id"]) for document in tracks for item in document["instances"]}


def _made_by_a_person(store: MapStore, instance: int) -> bool:
    unedited = read_unedited(store.root)
    return (
        unedited is not None
        and instance in {item["id"] for item in store.read_tracks()["instances"]}
        and instance not in {item["id"] for item in unedited.tracks["instances"]}
    )


def _id(session: PromptSession, choice: Choice, objects: Sequence[Prompted]) -> int:
    """The id of the map's own instance, where the object is that one; else one that no object ever had."""
    store = session.store
    if len(choice.include) == 1 and not choice.exclude and session.things[choice.include[0]].known:
        return choice.include[0]
    tree = read_tree(store.root)
    given = {*_instance_ids(store), *(item.id for item in objects), IdentityJournal(store.root).read()[0] - 1}
    return max(given | ({tree.next_id - 1} if tree is not None else set()), default=0) + 1
