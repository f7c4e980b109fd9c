"""Teach decoder and codes: questions from maps, answered by the network, judged by the masks that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.prompts.network.base_model import BaseSam
from seg2d3d_ros.prompts.network.encoded_map import EncodedMap
from seg2d3d_ros.prompts.network.known_objects import known_objects
from seg2d3d_ros.prompts.network.mask_losses import mask_losses
from seg2d3d_ros.prompts.network.place_network import LEVELS, PlaceNetwork
from seg2d3d_ros.prompts.network.pointmap import SceneScale
from seg2d3d_ros.prompts.network.questions import Question, Questions
from seg2d3d_ros.prompts.session import PromptSession

if TYPE_CHECKING:
    import torch

NO_IMAGE = Kind(
    "views_not_learned_from",
    "views that the network cannot learn from",
    cause="their image files are gone or damaged",
    remedy="put the images back where keyframes.json says, or leave the map out",
)


@dataclass(frozen=True)
class Batch:
    """What the network is asked at once, K = all views of all questions; tensors on the network's device.

    Attributes:
        levels: embeddings.
        places, sure: (K, h * w, 3) z-scores and (K, h * w) of pixels.
        prompts, prompts_sure, positive: (K, P, 3), (K, P) and (K, P) of the view's question.
        given: (K, 1, 4h, 4w) masks that are given, None where there are none.
    """

    levels: tuple[torch.Tensor, ...]
    places: torch.Tensor
    sure: torch.Tensor
    prompts: torch.Tensor
    prompts_sure: torch.Tensor
    positive: torch.Tensor
    given: torch.Tensor | None


class LearningTask:
    """The loss of a step, as ``networks.training`` asks for it.

    Args:
        network: trained in place.
        roots: map directories.
        truths: for each of them the truth to learn from instead of its own objects; empty = none has one.
        at_once: questions per step.

    Raises:
        DataError: a map teaches nothing.
    """

    def __init__(
        self,
        network: PlaceNetwork,
        base: BaseSam,
        roots: Sequence[Path],
        truths: Sequence[Path] = (),
        *,
        at_once: int = 4,
        findings: Findings | None = None,
    ) -> None:
        self.network, self.base, self._at_once = network, base, at_once
        self.maps = [EncodedMap(PromptSession(root), base, fine=True) for root in roots]
        given: Sequence[Path | None] = truths or [None] * len(roots)
        self.known = [known_objects(item.session, truth) for item, truth in zip(self.maps, given, strict=True)]
        self._questions = Questions(self.maps, self.known)
        self._look_at_images(findings)

    def _look_at_images(self, findings: Findings | None) -> None:
        for item in self.maps:
            lost = [item.session.sights[k].name for k in sorted(item.lost)]
            if findings is not None:
                findings.add(NO_IMAGE, *lost, count=len(lost), of=len(item.session.sights))
            if len(lost) == len(item.session.sights):
                raise DataError(f"{item.session.store.root}: none of its images is there ({lost[0]}, …); put them back")

    def loss(self, model: Any, step: int, random: np.random.Generator) -> Mapping[str, torch.Tensor]:
        """The terms of a step's loss; see ``networks.training.trainer``."""
        import torch

        questions = self._questions.draw(random, self._at_once)
        if not questions:
            return {}
        device = next(model.parameters()).device
        logits = answered(self.network, self.base, self._batch(questions, random, device))
        truth = torch.from_numpy(np.concatenate([q.masks for q in questions])).to(device).float()
        counted = torch.from_numpy(np.concatenate([q.counted for q in questions])).to(device).float()
        views = len(truth)
        spread = [t[:, None].expand(-1, LEVELS, -1).reshape(views * LEVELS, -1) for t in (truth, counted)]
        terms = [term.reshape(views, LEVELS) for term in mask_losses(logits.reshape(views * LEVELS, -1), *spread)]
        focal, dice, first = [], [], 0
        for question in questions:
            rows = slice(first, first + len(question.views))
            first = rows.stop
            costs = [term[rows].mean(dim=0) for term in terms]
            # One token for all views: where nobody knows the level, the one that comes nearest, as SAM is trained.
            token = int((costs[0] + costs[1]).argmin()) if question.level is None else question.level
            focal.append(costs[0][token])
            dice.append(costs[1][token])
        return {"focal": torch.stack(focal).mean(), "dice": torch.stack(dice).mean()}

    def _batch(self, questions: Sequence[Question], random: np.random.Generator, device: Any) -> Batch:
        import torch

        parts = [self._arrays(question, random) for question in questions]
        arrays = [torch.from_numpy(np.concatenate(column)).to(device) for column in zip(*parts, strict=True)]
        views = [view for q in questions for view in self.maps[q.source].views(q.views)]
        levels = tuple(torch.cat(level).to(device).float() for level in zip(*(view.levels for view in views), strict=True))
        given = None
        if questions[0].given is not None:
            side = 4 * self.base.cells
            masks = np.concatenate([q.given for q in questions if q.given is not None])
            given = torch.from_numpy(masks.reshape(-1, 1, side, side)).to(device).float()
        places, sure, prompts, prompts_sure, positive = arrays
        return Batch(levels, places, sure, prompts, prompts_sure, positive, given)

    def _arrays(self, question: Question, random: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Of ``Batch``, places to positive, of one question, in a frame that is turned by lot: no street lies like another."""
        item = self.maps[question.source]
        cells = [item.places(k) for k in question.views]
        scene = [item.places(k) for k in question.scene]
        turn = _turn(random, item.session.models[0].up.direction)
        xyz = np.concatenate([m.xyz[m.known] for m in scene]) @ turn.T
        scale = SceneScale.of(xyz, np.concatenate([m.confidence[m.known] for m in scene]))
        views = len(cells)
        prompts = scale.normalized(question.places @ turn.T)
        return (
            np.stack([scale.normalized(m.xyz @ turn.T) for m in cells]),
            np.stack([scale.sure(m.confidence) for m in cells]),
            np.repeat(prompts[None], views, axis=0),
            np.repeat(scale.sure(question.confidence)[None], views, axis=0),
            np.repeat(question.positive[None], views, axis=0),
        )


def answered(network: PlaceNetwork, base: BaseSam, batch: Batch) -> torch.Tensor:
    """(K, LEVELS, 4h, 4w) logits."""
    pixels = network.place_codes(batch.places, batch.sure)
    prompts = network.prompt_codes(batch.prompts, batch.prompts_sure, batch.positive)
    return network.masks(batch.levels, pixels, prompts, base.dense(batch.given))


def _turn(random: np.random.Generator, up: np.ndarray) -> np.ndarray:
    """(3, 3) rotation about the vertical by lot, mirrored in half of the cases."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_rotvec(random.uniform(-np.pi, np.pi) * up / np.linalg.norm(up)).as_matrix()
    if random.random() < 0.5:
        across = np.cross(up, np.eye(3)[int(np.argmin(np.abs(up)))])
        across /= np.linalg.norm(across)
        turn = turn @ (np.eye(3) - 2 * np.outer(across, across))
    return np.asarray(turn)
