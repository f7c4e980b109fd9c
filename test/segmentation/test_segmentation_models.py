"""The adapters through their real loading code, on checkpoints of the real classes with random weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("transformers", minversion="4.56")
pytest.importorskip("segment_anything")

import helpers_checkpoints as checkpoints
import torch

from seg2d3d_ros.association.masks.missed import MissedView
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.pipeline.second_look import Ask, look_again
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.factory import create_segmenter
from seg2d3d_ros.segmentation.models.grounding_dino import GroundingDino
from seg2d3d_ros.segmentation.models.mask_models import HubSam, MetaSam
from seg2d3d_ros.segmentation.models.panoptic import Network, Panoptic, competition
from seg2d3d_ros.segmentation.segmenter import no_segments
from seg2d3d_ros.types import Keyframe

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 255, (60, 80, 3), dtype=np.uint8)
OTHER = RNG.integers(0, 255, (48, 40, 3), dtype=np.uint8)
KEYFRAME = Keyframe("k", "camera", 0, encode_png(PHOTO))
BOXES = np.array([[2, 3, 40, 50], [10, 10, 79, 59], [0, 0, 20, 20]], np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """All checkpoints; tests that damage one copy it."""
    root = tmp_path_factory.mktemp("models")
    for name in ("grounding_dino", "sam", "sam2", "mask2former", "oneformer"):
        getattr(checkpoints, f"write_{name}")(root / name)
    return root


def cpu(batch: int = 2, precision: str = "full") -> Runtime:
    return Runtime("cpu", precision, batch)


class TestGroundingDino:
    PROMPTS = ("building", "Red car.")

    def test_boxes_classes_and_scores_equal_the_librarys_own_post_processing(self, folder):
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        found = GroundingDino(folder / "grounding_dino", cpu()).detect([PHOTO], self.PROMPTS, 0.0)[0]
        assert len(found) == 12
        processor = AutoProcessor.from_pretrained(folder / "grounding_dino")
        model = AutoModelForZeroShotObjectDetection.from_pretrained(folder / "grounding_dino").eval()
        inputs = processor(images=PHOTO, text="building. red car.", return_tensors="pt")
        with torch.inference_mode():
            outputs = model(**inputs)
        theirs = processor.post_process_grounded_object_detection(
            outputs, inputs["input_ids"], threshold=0.0, text_threshold=0.0, target_sizes=[(60, 80)]
        )[0]
        np.testing.assert_allclose(found.xyxy, theirs["boxes"].numpy(), atol=1e-3)
        # [CLS] building . red car . [SEP]: their score also counts full stops and the ends, ours the prompts' own words.
        words = outputs.logits[0].sigmoid().numpy()
        own = np.stack([words[:, 1], words[:, 3:5].max(axis=1)], axis=1)
        np.testing.assert_allclose(found.scores, own.max(axis=1), atol=1e-5)
        assert found.classes.tolist() == (own.argmax(axis=1) + 1).tolist()
        assert len(set(found.classes.tolist())) == 2

    def test_the_floor_and_the_order_of_images(self, folder):
        detector = GroundingDino(folder / "grounding_dino", cpu())
        everything = detector.detect([PHOTO, OTHER, PHOTO, OTHER[::-1].copy()], self.PROMPTS, 0.0)
        for image, boxes in zip([PHOTO, OTHER, PHOTO, OTHER[::-1].copy()], everything, strict=True):
            alone = detector.detect([image], self.PROMPTS, 0.0)[0]
            np.testing.assert_allclose(alone.xyxy, boxes.xyxy, atol=1e-3)
            np.testing.assert_allclose(alone.scores, boxes.scores, atol=1e-5)
        middle = float(np.median(everything[0].scores))
        assert len(detector.detect([PHOTO], self.PROMPTS, middle)[0]) == (everything[0].scores >= middle).sum() < 12

    def test_prompts_that_cannot_be_told_apart_are_refused(self, folder):
        detector = GroundingDino(folder / "grounding_dino", cpu())
        with pytest.raises(UsageError, match="no words"):
            detector.detect([PHOTO], ["."], 0.0)
        with pytest.raises(UsageError, match="tokens"):
            detector.detect([PHOTO], ["building"] * 150, 0.0)

    def test_pickled_weights_without_code_are_read_too(self, tmp_path):
        path = checkpoints.write_grounding_dino(tmp_path / "dino", safe=False)
        assert not list(path.glob("*.safetensors"))
        assert len(GroundingDino(path, cpu()).detect([PHOTO], ["car"], 0.0)[0]) == 12


@pytest.mark.parametrize("kind", ["sam", "sam2"])
class TestHubSam:
    def test_masks_equal_the_librarys_own_way(self, folder, kind):
        import transformers

        names = {"sam": ("SamModel", "SamProcessor"), "sam2": ("Sam2Model", "Sam2Processor")}[kind]
        model = getattr(transformers, names[0]).from_pretrained(folder / kind).eval()
        images = transformers.AutoImageProcessor.from_pretrained(folder / kind)
        processor = getattr(transformers, names[1])(images)
        inputs = processor(images=PHOTO, input_boxes=[BOXES.tolist()], return_tensors="pt")
        sizes = [inputs.pop("original_sizes")]
        sizes += [inputs.pop("reshaped_input_sizes")] if kind == "sam" else []
        if kind == "sam":
            inputs["input_boxes"] = inputs["input_boxes"].float()
        with torch.inference_mode():
            outputs = model(**inputs, multimask_output=False)
        theirs = images.post_process_masks([outputs.pred_masks[0]], *sizes)[0][:, 0].numpy()
        ours = HubSam(folder / kind, cpu()).from_boxes([OTHER, PHOTO], [np.zeros((0, 4)), BOXES])
        assert ours[0] == []
        for mask, expected, quality in zip(ours[1], theirs, outputs.iou_scores[0, :, 0].tolist(), strict=True):
            whole = np.zeros((60, 80), bool)
            if mask is not None:
                whole[mask.region.window] = mask.region.pixels
                assert mask.quality == pytest.approx(quality, abs=1e-4)
            assert (whole == expected).mean() > 0.999
        assert any(expected.any() for expected in theirs)

    def test_points_give_up_to_three_masks_each(self, folder, kind):
        model, points = HubSam(folder / kind, cpu()), np.array([[5, 5], [40, 30], [70, 50]])
        masks = model.from_points(PHOTO, points, -1.0)
        assert 0 < len(masks) <= 9
        least = sorted(mask.quality for mask in masks)[len(masks) // 2]
        good = model.from_points(PHOTO, points, least)
        assert [m.quality for m in good] == [m.quality for m in masks if m.quality >= least]
        assert 0 < len(good) < len(masks)
        assert all(0 <= mask.stability <= 1 for mask in masks)

    def test_half_precision(self, folder, kind):
        masks = HubSam(folder / kind, cpu(precision="half")).from_boxes([PHOTO], [BOXES])[0]
        assert len(masks) == 3


class TestMetaSam:
    @pytest.fixture(scope="class")
    def checkpoint(self, tmp_path_factory):
        patch = pytest.MonkeyPatch()
        checkpoints.small_registry(patch)
        yield checkpoints.write_meta_sam(tmp_path_factory.mktemp("meta") / "sam.pth")
        patch.undo()

    def test_masks_equal_the_packages_own_predictor(self, checkpoint):
        from segment_anything import SamPredictor, sam_model_registry

        predictor = SamPredictor(sam_model_registry["vit_b"](checkpoint=str(checkpoint)))
        predictor.set_image(PHOTO)
        boxes = predictor.transform.apply_boxes_torch(torch.as_tensor(BOXES), (60, 80))
        theirs, quality, _ = predictor.predict_torch(None, None, boxes=boxes, multimask_output=False)
        ours = MetaSam(checkpoint, cpu()).from_boxes([PHOTO], [BOXES])[0]
        for mask, expected, rated in zip(ours, theirs[:, 0].numpy(), quality[:, 0].tolist(), strict=True):
            whole = np.zeros((60, 80), bool)
            whole[mask.region.window] = mask.region.pixels
            assert (whole == expected).mean() > 0.999
            assert mask.quality == pytest.approx(rated, abs=1e-4)

    def test_points(self, checkpoint):
        model = MetaSam(checkpoint, cpu())
        assert 0 < len(model.from_points(PHOTO, np.array([[5, 5], [40, 30]]))) <= 6
        model.free()
        assert model._model is None

    def test_another_models_weights_are_refused(self, checkpoint, tmp_path):
        state = torch.load(checkpoint, weights_only=True)
        del state["mask_decoder.iou_token.weight"]
        torch.save(state, tmp_path / "part.pth")
        with pytest.raises(DataError, match=r"vit_b.*iou_token"):
            MetaSam(tmp_path / "part.pth", cpu()).load()
        torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
        with pytest.raises(DataError, match="not a checkpoint of SAM"):
            MetaSam(tmp_path / "other.pth", cpu()).load()

    def test_cut_off_and_foreign_files_are_refused(self, checkpoint, tmp_path):
        (tmp_path / "cut.pth").write_bytes(checkpoint.read_bytes()[:100000])
        (tmp_path / "page.pth").write_text("<html>not found</html>")
        (tmp_path / "empty.pth").write_bytes(b"")
        for name in ("cut.pth", "page.pth", "empty.pth"):
            with pytest.raises(DataError, match=f"{name}.*get the file again"):
                MetaSam(tmp_path / name, cpu()).load()


@pytest.mark.parametrize("kind", ["mask2former", "oneformer"])
class TestPanoptic:
    def test_queries_equal_the_model_called_directly(self, folder, kind):
        from transformers import AutoImageProcessor, AutoModelForUniversalSegmentation, AutoTokenizer

        labels, probabilities, masks = Network(folder / kind, cpu()).infer(PHOTO, lambda label, score: True)
        model = AutoModelForUniversalSegmentation.from_pretrained(folder / kind).eval()
        extra = {}
        if kind == "oneformer":
            (folder / "table.json").write_text(
                json.dumps({str(k): {"name": v, "isthing": 0} for k, v in checkpoints.CLASSES.items()})
            )
            images = AutoImageProcessor.from_pretrained(folder / kind, repo_path=str(folder), class_info_file="table.json")
            text = AutoTokenizer.from_pretrained(folder / kind)("the task is panoptic", padding="max_length", max_length=24)
            extra = {"task_inputs": torch.tensor([text["input_ids"]]) * torch.tensor([text["attention_mask"]])}
            inputs = images([PHOTO], ["panoptic"], return_tensors="pt")
        else:
            inputs = AutoImageProcessor.from_pretrained(folder / kind)([PHOTO], return_tensors="pt")
            extra = {"pixel_mask": inputs["pixel_mask"]}
        with torch.inference_mode():
            outputs = model(pixel_values=inputs["pixel_values"], **extra)
        known = outputs.class_queries_logits[0].softmax(-1)
        real = known.argmax(-1) < 3
        assert labels.tolist() == known.argmax(-1)[real].tolist()
        np.testing.assert_allclose(probabilities, known.max(-1).values[real].numpy(), atol=1e-5)
        assert masks.shape == (len(labels), 60, 80)
        # 64×85 of the 64×96 that the network saw are picture: the mask's middle is where the middle of that part is.
        logits = torch.nn.functional.interpolate(
            outputs.masks_queries_logits[:, real], tuple(inputs["pixel_mask"][0].shape), mode="bilinear"
        )
        width = int(inputs["pixel_mask"][0, 0].sum())
        assert masks[0, 30, 40] == pytest.approx(float(logits[0, 0, 32, width // 2].sigmoid()), abs=0.1)

    def test_segments_are_of_the_prompts_class(self, folder, kind):
        config = SegmentationConfig(
            prompts=("car", "Building"), panoptic_threshold=0.0, min_mask_area=0.0, sky_limit=0.0, clean=0.0
        )
        network = Network(folder / kind, cpu())
        segmenter = Panoptic(folder / kind, cpu(), config, network)
        segments = segmenter.segment(KEYFRAME)
        labels, probabilities, masks = network.infer(PHOTO, lambda label, score: True)
        expected = {
            round(float(probabilities[q]), 5): {2: 1, 1: 2}[int(labels[q])]
            for q, _ in competition(probabilities, masks)
            if labels[q]
        }
        assert {round(float(s), 5): int(c) for s, c in zip(segments.scores, segments.classes, strict=True)} == expected
        none = segmenter.asking_for(SegmentationConfig(prompts=("road",), panoptic_threshold=1.0)).segment(KEYFRAME)
        assert len(none.ids) == 0

    def test_a_prompt_that_is_no_class_names_the_nearest(self, folder, kind):
        with pytest.raises(UsageError, match=r"'buildin' is no class.*did you mean 'building'.*road"):
            Panoptic(folder / kind, cpu(), SegmentationConfig(prompts=("buildin",)))


class TestFactory:
    def config(self, folder, **changes) -> SegmentationConfig:
        models = {
            "detector_model": str(folder / "grounding_dino"),
            "mask_model": str(folder / "sam2"),
            "panoptic_model": str(folder / "mask2former"),
        }
        return SegmentationConfig(**{"prompts": ("building", "car"), "cache_dir": "none", "device": "cpu", **models, **changes})

    def test_every_segmenter_runs_from_folders(self, folder):
        for kind in ("grounded_sam", "panoptic", "everything"):
            config = self.config(
                folder, segmenter=kind, box_threshold=0.0, min_quality=0.0, min_stability=0.0, points_per_side=4
            )
            segmenter = create_segmenter(config)
            segments = segmenter.segment(KEYFRAME)
            assert segments.labels.shape == (60, 80)
            assert set(segments.classes.tolist()) <= {1, 2}
            segmenter.close()
            assert segmenter.segment(KEYFRAME).ids.tolist() == segments.ids.tolist(), "it loads again after close"

    def test_results_are_found_again_without_any_model(self, folder, tmp_path):
        root = Path(shutil.copytree(folder, tmp_path / "models"))
        config = self.config(root, segmenter="grounded_sam", box_threshold=0.0, cache_dir=str(tmp_path / "cache"))
        first = create_segmenter(config)
        made = first.segment(KEYFRAME)
        code = (
            "import sys; from pathlib import Path; from seg2d3d_ros.sections.segmentation_config import SegmentationConfig\n"
            "from seg2d3d_ros.segmentation.factory import create_segmenter; from seg2d3d_ros.types import Keyframe\n"
            f"segmenter = create_segmenter({config!r})\n"
            f"segments = segmenter.segment(Keyframe('k', 'camera', 0, Path({str(tmp_path / 'k.png')!r}).read_bytes()))\n"
            "assert segmenter.hits == 1 and 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
            "print(segments.ids.tolist())"
        )
        (tmp_path / "k.png").write_bytes(KEYFRAME.encoded)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        assert done.stdout.strip() == str(made.ids.tolist()), done.stderr

    @pytest.mark.parametrize("kind", ["sam", "sam2", "meta"])
    def test_a_second_look_gives_the_mask_models_answer_for_each_box(self, folder, kind, tmp_path, monkeypatch):
        path = folder / kind
        if kind == "meta":
            checkpoints.small_registry(monkeypatch)
            path = checkpoints.write_meta_sam(tmp_path / "sam_vit_b.pth")
        config = self.config(folder, segmenter="grounded_sam", mask_model=str(path), box_threshold=0.0)
        segmenter = create_segmenter(config)
        answers = segmenter.looker.look(KEYFRAME, BOXES)
        direct = (MetaSam if kind == "meta" else HubSam)(path, cpu()).from_boxes([PHOTO], [BOXES])[0]
        assert len(answers) == len(BOXES)
        assert [a and a.region.box for a in answers] == [d and d.region.box for d in direct]
        assert any(answers), "random weights, but some mask is there"
        for answer, expected in zip(answers, direct, strict=True):
            if answer is not None:
                np.testing.assert_array_equal(answer.region.pixels, expected.region.pixels)
        # Looking again changes nothing of what is found at first sight.
        found = segmenter.segment(KEYFRAME)
        segmenter.looker.look(KEYFRAME, BOXES[:1])
        assert segmenter.segment(KEYFRAME).ids.tolist() == found.ids.tolist()

    def test_a_second_look_takes_what_agrees_with_the_points_and_nothing_else(self, folder, monkeypatch):
        monkeypatch.setattr("seg2d3d_ros.pipeline.second_look.MIN_OVERLAP", 0.0)  # what random weights cut out lies anywhere
        looker = create_segmenter(self.config(folder, segmenter="grounded_sam")).looker
        areas = [mask.region.area if mask else 0 for mask in looker.look(KEYFRAME, BOXES)]
        x0, y0, x1, y1 = (int(value) for value in BOXES[int(np.argmax(areas))])
        expected = Region((x0, y0, x1, y1), np.ones((y1 - y0, x1 - x0), bool))
        (mask,) = looker.look(KEYFRAME, np.array([expected.box], np.float32))
        shown = np.zeros((60, 80), bool)
        shown[mask.region.window] = mask.region.pixels
        nothing = no_segments("k", shown.shape)

        def looked(where):
            xy = (np.argwhere(where)[::7, ::-1] + 0.5).astype(np.float32)
            missed = MissedView("k", 0, 7, 2, np.empty(0, np.int32), xy, np.empty((0, 2), np.float32), 1.0)
            return look_again(looker, KEYFRAME, nothing, [Ask(missed, expected)])

        segments, added = looked(shown)
        assert (added, segments.ids.tolist(), segments.classes.tolist()) == ([1], [1], [2])
        np.testing.assert_array_equal(segments.labels == 1, shown)
        assert looked(~shown) == (nothing, [])

    def test_no_such_device(self, folder):
        with pytest.raises(UsageError, match="device"):
            create_segmenter(self.config(folder, segmenter="everything", device="gpu")).segment(KEYFRAME)
