"""Which nodes of the tree are the objects: roots, leaves, a level, or the cut that the views support best.

``auto`` is dynamic programming from the leaves up. In each view that sees a node, the node is worth as much as the view shows
it whole (``ObjectTree.quality``), and the best cut below it as much as its nodes are, each weighed by its points that the view
sees. That is the excess of mass of HDBSCAN (Campello et al. 2013) with views in the place of density, and worth per point in
the place of mass, so that many small parts do not win by their number. A node is divided where that is better in the mean of
these views, clearly: by ``CLEARLY`` standard errors of the difference. Where the views are divided, the whole is kept.
"""

from __future__ import annotations

import numpy as np

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.granularity.object_tree import ObjectTree

COARSE, FINE, AUTO = "coarse", "fine", "auto"
DEEPEST = 99
CLEARLY = 2.5
"""Standard errors by which the parts of a node must be better supported than it. A street has dozens of nodes: with two, one in
forty would be divided by chance."""
PRIOR = 1.0
"""Weight of an imaginary view in which both are worth the same; and points at which a view has half its weight."""


def check_granularity(text: str) -> str:
    """The word, in small letters.

    Raises:
        UsageError: it is neither ``coarse``, ``fine``, ``auto`` nor a level from 0.
    """
    word = text.strip().lower()
    if word in (COARSE, FINE, AUTO) or (word.isascii() and word.isdecimal() and int(word) <= DEEPEST):
        return word
    raise UsageError(f"granularity {text!r}: choose coarse, fine, auto, or a level: 0 = whole objects, 1 = their parts, …")


def choose(tree: ObjectTree, granularity: str) -> np.ndarray:
    """(N,) bool the nodes that are the objects; none lies in another, and each path from a root to a leaf has one.

    Raises:
        UsageError: no such granularity.
    """
    word = check_granularity(granularity)
    leaf = np.array([len(children) == 0 for children in tree.children], bool)
    if word == COARSE:
        return tree.parent < 0
    if word == FINE:
        return leaf
    if word != AUTO:
        level = int(word)
        return (tree.level == level) | (leaf & (tree.level < level))
    return _best_cut(tree)


def _best_cut(tree: ObjectTree) -> np.ndarray:
    whole = np.ones(len(tree), bool)
    worth: dict[int, np.ndarray] = {}  # per view, of the best cut from a node down, until its parent has taken it over
    for k in range(len(tree) - 1, -1, -1):  # children come after their parents
        worth[k] = tree.quality[k].toarray().ravel()
        children = tree.children[k].tolist()
        if not children:
            continue
        seen = tree.visible[k].toarray().ravel()
        parts = tree.visible[children].toarray()
        below = sum(part * worth.pop(child) for part, child in zip(parts, children, strict=True))
        below = below / np.maximum(np.maximum(seen, parts.sum(axis=0)), 1e-9)
        if _clearly_better(below - worth[k], seen / (seen + PRIOR)):
            worth[k], whole[k] = below, False
    chosen = np.zeros(len(tree), bool)
    open_above = np.ones(len(tree), bool)
    for k, parent in enumerate(tree.parent.tolist()):
        open_above[k] = parent < 0 or (open_above[parent] and not whole[parent])
        chosen[k] = open_above[k] and whole[k]
    return chosen


def _clearly_better(difference: np.ndarray, weight: np.ndarray) -> bool:
    """Whether the mean over views (K,) is above zero by ``CLEARLY`` standard errors."""
    total = weight.sum() + PRIOR
    mean = (weight * difference).sum() / total
    error = np.sqrt((weight**2 * (difference - mean) ** 2).sum() + (PRIOR * mean) ** 2) / total
    return bool(mean > CLEARLY * error and mean > 0)
