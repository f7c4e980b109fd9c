"""Boxes or points -> masks: SAM (Kirillov et al., ICCV 2023, arXiv 2304.02643) and SAM 2 (arXiv 2408.00714)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.networks.checkpoints import load_pretrained, read_config, read_state
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.networks.runtime import LazyModel, Loadable, Runtime
from seg2d3d_ros.networks.weights import Model
from seg2d3d_ros.types import Keyframe

PROMPTS_AT_ONCE = 64
"""Boxes or points that go through the mask decoder at once."""
PIXELS_AT_ONCE = 1 << 26
"""Pixels of full-size mask logits that are held at once (float32)."""
_WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
"""Width of SAM's image encoder -> its name in ``sam_model_registry``."""


@dataclass(frozen=True)
class Mask:
    """A mask with what the model itself says about it.

    Attributes:
        region: its pixels.
        quality: the model's own estimate of the mask's intersection over union with the truth.
        stability: overlap of the mask at a lower and at a higher threshold.
    """

    region: Region
    quality: float
    stability: float


@dataclass(frozen=True)
class MaskPrompt:
    """What a mask model is asked for in one image.

    Attributes:
        points: (N, 2) pixels.
        positive: (N,) bool, which of them are the object's; the others are not.
        box: ``x0 y0 x1 y1`` around the object, or None.
    """

    points: np.ndarray
    positive: np.ndarray
    box: tuple[float, float, float, float] | None = None


class MaskModel(Loadable, Protocol):
    """Cuts out what boxes or points show."""

    def from_boxes(self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> list[list[Mask | None]]:
        """For each (H, W, 3) uint8 RGB image the mask of each of its boxes (N, 4) ``x0 y0 x1 y1``; None where empty."""
        ...

    def from_points(self, image: np.ndarray, points: np.ndarray, min_quality: float = 0.0) -> list[Mask]:
        """The masks, up to three each, of the objects at ``points`` (N, 2) ``x y``, with at least this quality."""
        ...

    def encode(self, image: np.ndarray) -> Any:
        """A (H, W, 3) uint8 RGB image for ``from_prompts``: what takes long is done once. Held in the CPU's memory."""
        ...

    def from_prompts(self, code: Any, prompts: Sequence[MaskPrompt]) -> list[list[Mask]]:
        """For each prompt to an encoded image the masks that it may mean, best first: one point may mean several things."""
        ...


@runtime_checkable
class Looker(Protocol):
    """A segmenter with a mask model, which can take a second look (``pipeline.second_look``)."""

    def look(self, keyframe: Keyframe, boxes: np.ndarray) -> list[Mask | None]:
        """The mask of what each box (N, 4) ``x0 y0 x1 y1`` of a keyframe shows; None where empty."""
        ...


class SamBase(LazyModel):
    """What the two libraries share: encode images once, decode prompts in parts, crop masks at once."""

    def from_boxes(self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> list[list[Mask | None]]:
        """See ``MaskModel``."""
        self.load()
        with_boxes = [index for index, wanted in enumerate(boxes) if len(wanted)]
        encoded = self._runtime.map(self._encode, [images[index] for index in with_boxes])
        found: list[list[Mask | None]] = [[] for _ in images]
        for index, code in zip(with_boxes, encoded, strict=True):
            wanted = np.asarray(boxes[index], np.float32)
            found[index] = [masks[0] for masks in self._decoded(code, None, None, wanted, several=False)]
        return found

    def from_points(self, image: np.ndarray, points: np.ndarray, min_quality: float = 0.0) -> list[Mask]:
        """See ``MaskModel``."""
        self.load()
        code = self._runtime.map(self._encode, [image])[0]
        xy = np.asarray(points, np.float32)[:, None]
        answers = self._decoded(code, xy, np.ones(xy.shape[:2], np.int32), None, several=True, least=min_quality)
        return [mask for masks in answers for mask in masks if mask is not None]

    def encode(self, image: np.ndarray) -> Any:
        """See ``MaskModel``."""
        self.load()
        size, *facts = self._runtime.map(self._encode, [image])[0]
        return (size, *(_on_cpu(fact) for fact in facts))

    def from_prompts(self, code: Any, prompts: Sequence[MaskPrompt]) -> list[list[Mask]]:
        """See ``MaskModel``."""
        self.load()
        found = []
        for prompt in prompts:
            count = len(prompt.points)
            xy = np.asarray(prompt.points, np.float32)[None] if count else None
            labels = np.asarray(prompt.positive, np.int32)[None] if count else None
            box = None if prompt.box is None else np.array([prompt.box], np.float32)
            several = box is None and count == 1
            masks = self._decoded(code, xy, labels, box, several=several)[0]
            found.append(sorted((mask for mask in masks if mask is not None), key=lambda mask: -mask.quality))
        return found

    def _decoded(
        self,
        code: Any,
        points: np.ndarray | None,
        labels: np.ndarray | None,
        boxes: np.ndarray | None,
        *,
        several: bool,
        least: float = -np.inf,
    ) -> list[list[Mask | None]]:
        """The masks of n prompts: points (n, k, 2) with labels (n, k), 1 = the object's, 0 = not; boxes (n, 4); or both."""
        height, width = code[0]
        at_once = max(1, PIXELS_AT_ONCE // (height * width * (3 if several else 1)))

        def call(rows: Sequence[int]) -> list[list[Mask | None]]:
            xy, said, corners = (None if given is None else given[list(rows)] for given in (points, labels, boxes))
            logits, quality = self._decode(code, xy, said, corners, several)
            self._runtime.check(quality)
            quality = quality.float()
            # Most answers to a grid of points are poor; to enlarge them would take most of the time.
            good = quality >= least
            masks = iter(_cropped(self._enlarge(code, logits[good].float()), quality[good]) if bool(good.any()) else [])
            return [[next(masks) if kept else None for kept in row] for row in good.tolist()]

        count = len(boxes) if boxes is not None else len(points) if points is not None else 0
        return self._runtime.map(call, range(count), batch=min(PROMPTS_AT_ONCE, at_once))

    @abstractmethod
    def _encode(self, images: Sequence[np.ndarray]) -> list[Any]:
        """Per image a tuple whose first entry is its ``(H, W)``."""

    @abstractmethod
    def _decode(
        self, code: Any, points: np.ndarray | None, labels: np.ndarray | None, boxes: np.ndarray | None, several: bool
    ) -> tuple[Any, Any]:
        """Mask logits (n, m, h, w) as the model makes them, and qualities (n, m); prompts as for ``_decoded``."""

    @abstractmethod
    def _enlarge(self, code: Any, logits: Any) -> Any:
        """Mask logits (k, h, w) in the image's size (k, H, W)."""


class MetaSam(SamBase):
    """The ``segment_anything`` package with its official checkpoints; which of the three it is, the weights say."""

    def _read(self) -> Any:
        from segment_anything import sam_model_registry

        state = read_state(self._path)
        position = state.get("image_encoder.pos_embed")
        kind = _WIDTHS.get(position.shape[-1]) if position is not None else None
        if kind is None:
            raise DataError(f"{self._path}: not a checkpoint of SAM vit_b, vit_l or vit_h; `seg2d3d models` lists them")
        # Built without its own loader, which would unpickle anything with older versions of torch.
        model = sam_model_registry[kind]()
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise DataError(f"{self._path}: does not fit SAM {kind} ({str(error).splitlines()[-1].strip()[:200]})") from error
        return model.eval()

    def _encode(self, images: Sequence[np.ndarray]) -> list[Any]:
        import torch
        from segment_anything.utils.transforms import ResizeLongestSide

        resize = ResizeLongestSide(self._model.image_encoder.img_size)
        small = [resize.apply_image(image) for image in images]
        tensors = [torch.as_tensor(image, device=self._runtime.device).permute(2, 0, 1) for image in small]
        codes = self._model.image_encoder(torch.stack([self._model.preprocess(tensor) for tensor in tensors]))
        self._runtime.check(codes)
        return [(a.shape[:2], b.shape[:2], codes[k : k + 1]) for k, (a, b) in enumerate(zip(images, small, strict=True))]

    def _decode(
        self, code: Any, points: np.ndarray | None, labels: np.ndarray | None, boxes: np.ndarray | None, several: bool
    ) -> tuple[Any, Any]:
        import torch

        size, small, embedding = code
        device = self._runtime.device
        scale = torch.tensor([small[1] / size[1], small[0] / size[0]], device=device)
        pair = None
        if points is not None:
            pair = (torch.as_tensor(points, device=device) * scale, torch.as_tensor(labels, device=device))
        corners = None if boxes is None else torch.as_tensor(boxes, device=device) * scale.repeat(2)
        sparse, dense = self._model.prompt_encoder(points=pair, boxes=corners, masks=None)
        logits, quality = self._model.mask_decoder(
            image_embeddings=embedding.to(device),
            image_pe=self._model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
        )
        return logits, quality

    def _enlarge(self, code: Any, logits: Any) -> Any:
        return self._model.postprocess_masks(logits[None], code[1], code[0])[0]


class HubSam(SamBase):
    """SAM, SAM 2 and SAM 2.1 from a folder in transformers' format."""

    def _read(self) -> Any:
        import transformers

        kind = str(read_config(self._path / "config.json").get("model_type", ""))
        # SAM 2's folders name the video model; its image part is all that is needed.
        name = {"sam": "SamModel", "sam2": "Sam2Model", "sam2_video": "Sam2Model"}.get(kind)
        if name is None:
            raise DataError(f"{self._path}: model type {kind!r} is none of sam, sam2, sam2_video; `seg2d3d models` lists them")
        cls = getattr(transformers, name, None)
        if cls is None:
            raise DataError(f"{self._path}: transformers {transformers.__version__} has no {name}; pip install -U transformers")
        self._processor = load_pretrained(transformers.AutoImageProcessor, self._path)
        return load_pretrained(cls, self._path)

    def _encode(self, images: Sequence[np.ndarray]) -> list[Any]:
        inputs = self._processor(images=list(images), return_tensors="pt")
        pixels = inputs["pixel_values"].to(self._runtime.device)
        # SAM keeps the aspect and pads, SAM 2 stretches to a square.
        used = [tuple(map(int, size)) for size in inputs.get("reshaped_input_sizes", [pixels.shape[-2:]] * len(images))]
        codes = self._model.get_image_embeddings(pixels)
        levels = codes if isinstance(codes, list | tuple) else [codes]
        for level in levels:
            self._runtime.check(level)
        return [
            (image.shape[:2], used[k], [level[k : k + 1] for level in levels], codes is not levels)
            for k, image in enumerate(images)
        ]

    def _decode(
        self, code: Any, points: np.ndarray | None, labels: np.ndarray | None, boxes: np.ndarray | None, several: bool
    ) -> tuple[Any, Any]:
        import torch

        size, used, levels, single = code
        device = self._runtime.device
        scale = torch.tensor([used[1] / size[1], used[0] / size[0]], device=device)
        levels = [level.to(device) for level in levels]
        given = {}
        if points is not None:
            given["input_points"] = (torch.as_tensor(points, device=device)[None] * scale).float()
            given["input_labels"] = torch.as_tensor(labels, device=device)[None]
        if boxes is not None:
            given["input_boxes"] = (torch.as_tensor(boxes, device=device)[None] * scale.repeat(2)).float()
        outputs = self._model(image_embeddings=levels[0] if single else levels, multimask_output=several, **given)
        return outputs.pred_masks[0], outputs.iou_scores[0]

    def _enlarge(self, code: Any, logits: Any) -> Any:
        size, used, _, single = code
        options = {"reshaped_input_sizes": [used]} if single else {}
        return self._processor.post_process_masks([logits[None]], [size], binarize=False, **options)[0][0]


def _on_cpu(fact: Any) -> Any:
    if isinstance(fact, list):
        return [_on_cpu(one) for one in fact]
    return fact.cpu() if hasattr(fact, "cpu") else fact


def _cropped(logits: Any, quality: Any) -> list[Mask | None]:
    """Threshold logits (k, H, W) and keep the boxes with pixels only."""
    inner, outer = (logits > 1.0).sum((-1, -2)).cpu().numpy(), (logits > -1.0).sum((-1, -2)).cpu().numpy()
    facts = zip((logits > 0).cpu().numpy(), quality.tolist(), (inner / np.maximum(outer, 1)).tolist(), strict=True)
    regions = [(region_of(mask), rated, stability) for mask, rated, stability in facts]
    return [None if region is None else Mask(region, rated, stability) for region, rated, stability in regions]


def mask_packages(models: Sequence[Model]) -> dict[str, str]:
    """The modules that models of both kinds need, and what these are called in pip."""
    packages = {"torch": "torch", "torchvision": "torchvision"}
    if any(model.is_file for model in models):
        packages["segment_anything"] = "segment-anything"
    if not all(model.is_file for model in models):
        packages["transformers"] = "transformers"
    return packages


def obtain_mask_model(name: str, settings: NetworkSettings, findings: Findings) -> SamBase:
    """The mask model of that name, whose weights are fetched where the settings allow it. Nothing here imports torch.

    Raises:
        UsageError: packages or weights are missing; it says the way out.
        DataError: a download did not succeed.
    """
    (model,) = settings.obtain([name], mask_packages(settings.find([name])))
    return mask_model(model, settings.runtime(findings))


def mask_model(model: Model, runtime: Runtime) -> SamBase:
    """The adapter for a model that was found."""
    return (MetaSam if model.is_file else HubSam)(model.path, runtime)
