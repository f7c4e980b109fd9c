"""SAM's mask decoder with codes of 3D points instead of codes of pixels (MV-SAM, arXiv 2601.17866).

A place becomes its z-scores in the scene, these become Fourier features, and a linear map makes them as wide as the decoder's
tokens. Pixels and prompts are coded alike, so that a click finds its place in every view. On top comes what a prompt is
(object or not), and how sure a place is. Pixels without a place have a code of their own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

FREQUENCIES = 64
LOWEST, HIGHEST = 0.05, 4.0
"""Cycles per deviation of the scene: the longest wave is longer than the scene, the shortest of the size of a door
in a street of tens of metres."""
LEVELS = 3
"""Masks per question, those of SAM's tokens 1 to 3: a whole (a house), its part (a storey), a part of that (a window)."""
UNTRAINED = ("iou_prediction_head", "iou_token", "pred_obj_score_head", "obj_score_token", "conv_s0", "conv_s1",
             "output_hypernetworks_mlps.0.")  # fmt: skip
"""Of the decoder, what no loss reaches (its own ratings, the mask that it makes of many prompts), or what belongs to the frozen
encoder of SAM 2."""


class PlaceNetwork:
    """Decoder and codes.

    Args:
        decoder: ``SamMaskDecoder`` or ``Sam2MaskDecoder``.
        width: channels of its tokens.

    Attributes:
        weights: the torch module that holds everything; trained is what wants a gradient.
    """

    def __init__(self, decoder: Any, width: int, seed: int = 0) -> None:
        import torch

        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.randn(*shape, generator=generator) / math.sqrt(width))

        codes = torch.nn.Module()
        direction = torch.nn.functional.normalize(torch.randn(3, FREQUENCIES, generator=generator), dim=0)
        cycles = torch.logspace(math.log10(LOWEST), math.log10(HIGHEST), FREQUENCIES)
        codes.register_buffer("frequencies", direction * cycles)
        projection = torch.nn.Linear(2 * FREQUENCIES, width, bias=False)
        projection.weight = torch.nn.Parameter(torch.randn(width, 2 * FREQUENCIES, generator=generator) / FREQUENCIES**0.5)
        codes.projection = projection
        codes.prompt = normal(2, width)  # not the object, the object
        codes.sureness = normal(2, width)  # low, high
        codes.nowhere = normal(width)
        for name, parameter in decoder.named_parameters():
            parameter.requires_grad_(not name.startswith(UNTRAINED))
        decoder.mask_tokens.weight.requires_grad_(True)
        self.weights: Any = torch.nn.ModuleDict({"codes": codes, "decoder": decoder})

    @property
    def trained(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.weights.parameters() if p.requires_grad)

    def place_codes(self, places: torch.Tensor, sure: torch.Tensor) -> torch.Tensor:
        """(…, C) codes of places.

        Args:
            places: (…, 3) z-scores, NaN where there is none.
            sure: (…) bool.
        """
        import torch

        codes = self.weights["codes"]
        known = places.isfinite().all(dim=-1, keepdim=True)
        phase = 2 * math.pi * torch.where(known, places, torch.zeros_like(places)) @ codes.frequencies
        found = codes.projection(torch.cat([phase.sin(), phase.cos()], dim=-1)) + codes.sureness[sure.long()]
        return torch.where(known, found, codes.nowhere.expand_as(found))

    def prompt_codes(self, places: torch.Tensor, sure: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        """(…, C) codes of clicks: those of their places, and what they say. ``positive`` is (…) bool."""
        return self.place_codes(places, sure) + self.weights["codes"].prompt[positive.long()]

    def masks(
        self,
        levels: tuple[torch.Tensor, ...],
        pixel_codes: torch.Tensor,
        prompt_codes: torch.Tensor,
        dense: torch.Tensor,
    ) -> torch.Tensor:
        """(V, LEVELS, 4h, 4w) logits of the masks in V views. No view sees another one; each sees all prompts.

        Args:
            levels: embeddings of the views, each (V, C, …), the coarsest (V, C, h, w) last.
            pixel_codes: (V, h * w, C).
            prompt_codes: (V, P, C): of each view's question.
            dense: of masks that are given, see ``BaseSam.dense``.
        """
        *finer, coarse = levels
        views, _, height, width = coarse.shape
        positions = pixel_codes.transpose(1, 2).reshape(views, -1, height, width)
        answer = self.weights["decoder"](
            image_embeddings=coarse,
            image_positional_embeddings=positions,
            sparse_prompt_embeddings=prompt_codes[:, None],
            dense_prompt_embeddings=dense.to(coarse.device),
            multimask_output=True,
            **({"high_resolution_features": finer} if finer else {}),
        )
        return answer[0][:, 0]
