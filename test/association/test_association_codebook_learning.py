"""The losses of the codebook against their formulas written out, the mapping of masks to codes, and how codes come and go."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import sparse

from seg2d3d_ros.association.codebook import learning_codes
from seg2d3d_ros.association.codebook.codebook_losses import centroids, confident, contrastive, map_masks, own_mask_logits
from seg2d3d_ros.association.codebook.learning_codes import SHARPNESS, code_loss, kept_codes, learn_codes
from seg2d3d_ros.association.codebook.learning_features import EntryBatch, learn_features
from seg2d3d_ros.association.codebook.mask_entries import MaskEntries

torch = pytest.importorskip("torch")


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def scene() -> tuple[np.ndarray, MaskEntries, EntryBatch]:
    """Features of 30 points; two images with two and three masks."""
    random = np.random.default_rng(3)
    held = np.zeros((5, 30))
    held[0, :10] = held[1, 10:20] = held[2, 2:9] = held[3, 12:20] = held[4, 20:] = 1.0
    held[0, 4] = held[2, 5] = 0.3
    entries = MaskEntries.of(sparse.csr_matrix(held), np.array([0, 0, 1, 1, 1]))
    return unit(random.standard_normal((30, 4))), entries, EntryBatch.of(entries, np.array([0, 1]))


def by_mask(entries: MaskEntries) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Image, points and weights of each mask."""
    masks = np.arange(int(entries.mask.max()) + 1)
    rows = [np.flatnonzero(entries.mask == m) for m in masks]
    return [(int(r[0] >= entries.starts[1]), entries.point[r], entries.weight[r]) for r in rows]


def test_entries_are_sorted_by_image_and_a_batch_takes_some(scene) -> None:
    _, entries, batch = scene
    assert entries.starts.tolist() == [0, 20, 45]
    assert batch.image_of_mask.tolist() == [0, 0, 1, 1, 1]
    turned = EntryBatch.of(entries, np.array([1, 0]))
    assert turned.image_of_mask.tolist() == [0, 0, 0, 1, 1]
    assert turned.mask[-1] == 4
    alone = EntryBatch.of(entries, np.array([1]))
    assert alone.image_of_mask.tolist() == [0, 0, 0]
    assert alone.point.tolist() == entries.point[20:].tolist()


def test_the_contrastive_loss_is_the_formula(scene) -> None:
    f, entries, batch = scene
    masks = by_mask(entries)
    center = [(w[:, None] * f[p]).sum(axis=0) / w.sum() for _, p, w in masks]
    spread = [
        (w * np.linalg.norm(f[p] - u, axis=1)).sum() / (w.sum() * math.log(w.sum() + 10))
        for (_, p, w), u in zip(masks, center, strict=True)
    ]
    wanted = 0.0
    for k, (image, points, weight) in enumerate(masks):
        others = [m for m in range(5) if masks[m][0] == image]
        for p, w in zip(points, weight, strict=True):
            logit = {m: f[p] @ center[m] / np.clip(10 * spread[m], 0.5, 1.0) for m in others}
            wanted += w / weight.sum() * (math.log(sum(math.exp(v) for v in logit.values())) - logit[k]) / 5
    mean, total, found = centroids(torch.from_numpy(f)[batch.point], batch.mask, batch.weight, 5)
    np.testing.assert_allclose(found.numpy(), spread, rtol=1e-5)
    temperature = (10 * found).clamp(0.5, 1.0)
    logits, first = own_mask_logits(torch.from_numpy(f)[batch.point], mean, temperature, batch.image, batch.image_of_mask)
    assert first.tolist() == [0, 2]
    own = batch.mask - first[batch.image]
    assert float(contrastive(logits, own, batch.mask, batch.weight, total)) == pytest.approx(wanted, rel=1e-5)


def test_the_filter_keeps_points_that_are_like_their_own_mask(scene) -> None:
    _, _, batch = scene
    f = np.tile(unit(np.eye(4)[:1]), (30, 1))
    f[10:20], f[20:] = np.eye(4)[1], np.eye(4)[2]
    f[13] = np.eye(4)[2]  # of the mask of 10 … 19, and like that of 20 … 29
    x = torch.from_numpy(f)[batch.point]
    mean, _, spread = centroids(x, batch.mask, batch.weight, 5)
    kept = confident(x, mean, spread, batch.image, batch.image_of_mask, batch.mask, 0.2).numpy()
    dropped = set(zip(batch.mask.numpy()[~kept].tolist(), batch.point.numpy()[~kept].tolist(), strict=True))
    assert dropped == {(3, 13)}, "in image 0 no mask is as point 13"


def test_a_large_mask_keeps_its_code_before_a_small_one_unless_all_count_alike() -> None:
    mask, weight = np.array([0] * 8 + [1] * 2), np.ones(10)
    likelihood = np.tile([0.6, 0.4], (10, 1))
    likelihood[8:] = [0.9, 0.1]
    summed = map_masks(torch.from_numpy(likelihood), mask, weight, np.array([0, 1]), mean=False)
    alike = map_masks(torch.from_numpy(likelihood), mask, weight, np.array([0, 1]), mean=True)
    assert summed.tolist() == [0, 1] or summed.tolist() == [1, 0]
    # Summed: 8 · .6 + 2 · .1 = 5.0 against 8 · .4 + 2 · .9 = 5.0 would tie; one point more decides.
    more = np.concatenate([mask, [0]]), np.ones(11), np.vstack([likelihood, [0.6, 0.4]])
    assert map_masks(torch.from_numpy(more[2]), more[0], more[1], np.array([0, 1]), mean=False).tolist() == [0, 1]
    assert alike.tolist() == [1, 0]


def test_of_more_masks_than_codes_some_have_none() -> None:
    code = map_masks(torch.tensor([[1.0], [1.0], [1.0]]), np.array([4, 4, 7]), np.ones(3), np.array([4, 7]), mean=False)
    assert code.tolist() == [0, -1]


def test_the_loss_of_codes_is_the_formula(scene) -> None:
    f, _, batch = scene
    codes = unit(np.random.default_rng(1).standard_normal((6, 4)))
    scores = SHARPNESS * f @ codes.T
    likelihood = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    mask, point, image = batch.mask.numpy(), batch.point.numpy(), batch.image.numpy()
    target = np.empty(len(mask), int)
    for k in range(2):
        mine, here = np.flatnonzero(image == k), np.flatnonzero(batch.image_of_mask.numpy() == k)
        code = map_masks(torch.from_numpy(likelihood[point[mine]]), mask[mine], batch.weight.numpy()[mine], here, mean=False)
        target[mine] = code[mask[mine] - here[0]]
    concentration = np.linalg.norm(codes[target] - f[point], axis=1).mean()
    wrong = scores[point].argmax(axis=1) != target
    entropy = -np.log(likelihood[point, target]) * wrong
    for concentrated in (True, False):
        loss = code_loss(
            torch.from_numpy(codes), torch.from_numpy(f), batch, mean=False, concentration=concentrated, threshold=0.0
        )
        wanted = 1e-4 * entropy.mean() / math.log(6) + concentrated * concentration
        assert float(loss) == pytest.approx(wanted, rel=1e-4)


def test_duplicates_and_codes_of_no_mask_are_dropped(scene) -> None:
    _, entries, _ = scene
    f = np.eye(4, dtype=np.float32)[[0] * 10 + [1] * 10 + [2] * 10]
    codes = unit(np.array([[1.0, 0, 0, 0.1], [1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]]))
    kept = kept_codes(torch.from_numpy(codes), torch.from_numpy(f), entries)
    np.testing.assert_allclose(kept.numpy(), codes[[2, 1, 3]], err_msg="most entries first; of two alike the nearer")


def test_a_code_for_a_part_of_what_masks_show_is_dropped() -> None:
    held = np.zeros((4, 20))
    held[:3, :] = held[3, 12:] = 1.0  # three masks show it whole, one a part
    entries = MaskEntries.of(sparse.csr_matrix(held), np.arange(4))
    f = torch.from_numpy(np.eye(4, dtype=np.float32)[[0] * 12 + [1] * 8])
    kept = kept_codes(torch.eye(4)[:2], f, entries)
    assert kept.tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_codes_are_added_until_some_are_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve objects of which no image shows more than two: the four codes of the start do not do."""
    counts = []
    monkeypatch.setattr(learning_codes, "kept_codes", lambda *args: counts.append(len(args[0])) or kept_codes(*args))
    held = np.zeros((24, 120))
    for k in range(12):
        held[2 * k, 10 * k : 10 * k + 10] = held[2 * k + 1, 10 * ((k + 1) % 12) : 10 * ((k + 1) % 12) + 10] = 1.0
    entries = MaskEntries.of(sparse.csr_matrix(held), np.arange(24) // 2)
    features = torch.from_numpy(np.repeat(np.eye(12, 16, dtype=np.float32), 10, axis=0))
    codes = learn_codes(features, entries, mean=False, concentration=True, threshold=0.2, seed=0)
    assert counts[0] == 4
    assert counts == sorted(counts)
    assert counts[-1] >= len(codes) + 2
    # Objects that no image shows together may share a code; these are shown together.
    code = (features @ codes.T).argmax(dim=1).numpy()[::10]
    assert (code != np.roll(code, 1)).all()


def test_features_are_alike_within_objects_and_have_length_one(scene) -> None:
    _, entries, _ = scene
    f = learn_features(entries, 30, norm=True, seed=0).numpy()
    np.testing.assert_allclose(np.linalg.norm(f, axis=1), 1.0, rtol=1e-5)
    alike = f @ f.T
    assert alike[:10, :10].min() > 0.8
    assert alike[:10, 10:20].max() < 0.5
    np.testing.assert_array_equal(f, learn_features(entries, 30, norm=True, seed=0).numpy())


def test_the_norm_regulariser_keeps_lengths_near_one(monkeypatch: pytest.MonkeyPatch, scene) -> None:
    _, entries, _ = scene
    lengths = {}
    true_normalize = torch.nn.functional.normalize
    for norm in (True, False):

        def normalize(raw, dim, norm=norm):  # the last call is on all features
            lengths[norm] = raw.detach().norm(dim=1).numpy()
            return true_normalize(raw, dim=dim)

        with monkeypatch.context() as patch:
            patch.setattr(torch.nn.functional, "normalize", normalize)
            learn_features(entries, 30, norm=norm, seed=0)
    assert np.abs(lengths[True] - 1.0).mean() < 0.5 * np.abs(lengths[False] - 1.0).mean()
