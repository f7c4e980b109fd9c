"""Points of both kinds and a box in one prompt to the mask models: the same numbers as by the libraries' own ways."""

import helpers_checkpoints as checkpoints
import numpy as np
import pytest

from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.segmentation.models.mask_models import HubSam, MaskPrompt, MetaSam

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

PHOTO = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
XY, POSITIVE, BOX = np.array([[20.0, 15.0], [60.0, 40.0]], np.float32), np.array([True, False]), (5.0, 4.0, 50.0, 44.0)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def filled(mask) -> np.ndarray:
    whole = np.zeros((60, 80), bool)
    whole[mask.region.window] = mask.region.pixels
    return whole


@pytest.mark.parametrize(("kind", "write"), [("sam", checkpoints.write_sam), ("sam2", checkpoints.write_sam2)])
@pytest.mark.parametrize(("points", "box"), [(XY, None), (XY, BOX), (XY[:0], BOX)])
def test_masks_equal_the_librarys_own_way(tmp_path, kind, write, points, box):
    import transformers

    folder = write(tmp_path / kind)
    model = getattr(transformers, {"sam": "SamModel", "sam2": "Sam2Model"}[kind]).from_pretrained(folder).eval()
    images = transformers.AutoImageProcessor.from_pretrained(folder)
    processor = getattr(transformers, {"sam": "SamProcessor", "sam2": "Sam2Processor"}[kind])(images)
    said = POSITIVE[: len(points)]
    given = {"input_points": [[points.tolist()]], "input_labels": [[said.astype(int).tolist()]]} if len(points) else {}
    inputs = processor(images=PHOTO, **given, **({"input_boxes": [[list(box)]]} if box else {}), return_tensors="pt")
    sizes = [inputs.pop("original_sizes")] + ([inputs.pop("reshaped_input_sizes")] if kind == "sam" else [])
    inputs = {k: v.float() if k in ("input_boxes", "input_points") else v for k, v in inputs.items()}
    with torch.inference_mode():
        outputs = model(**inputs, multimask_output=False)
    expected = images.post_process_masks([outputs.pred_masks[0]], *sizes)[0][0, 0].numpy()

    ours = HubSam(folder, Runtime("cpu"))
    ((mask,),) = ours.from_prompts(ours.encode(PHOTO), [MaskPrompt(points, said, box)])
    assert (filled(mask) == expected).mean() > 0.999
    assert mask.quality == pytest.approx(float(outputs.iou_scores.flatten()[0]), abs=1e-4)


def test_one_point_may_mean_several_things_the_best_first(tmp_path):
    ours = HubSam(checkpoints.write_sam(tmp_path / "sam"), Runtime("cpu"))
    code = ours.encode(PHOTO)
    one, two = ours.from_prompts(code, [MaskPrompt(XY[:1], POSITIVE[:1]), MaskPrompt(XY, POSITIVE)])
    assert (len(one), len(two)) == (3, 1)
    assert [m.quality for m in one] == sorted((m.quality for m in one), reverse=True)
    assert ours.from_prompts(code, []) == []


def test_the_packages_own_predictor_says_the_same(tmp_path, monkeypatch):
    pytest.importorskip("segment_anything")
    from segment_anything import SamPredictor, sam_model_registry

    checkpoints.small_registry(monkeypatch)
    path = checkpoints.write_meta_sam(tmp_path / "sam.pth")
    predictor = SamPredictor(sam_model_registry["vit_b"](checkpoint=str(path)))
    predictor.set_image(PHOTO)
    theirs, quality, _ = predictor.predict(XY, POSITIVE.astype(int), np.array(BOX), multimask_output=False)
    ours = MetaSam(path, Runtime("cpu"))
    ((mask,),) = ours.from_prompts(ours.encode(PHOTO), [MaskPrompt(XY, POSITIVE, BOX)])
    assert (filled(mask) == theirs[0]).mean() > 0.999
    assert mask.quality == pytest.approx(float(quality[0]), abs=1e-4)
