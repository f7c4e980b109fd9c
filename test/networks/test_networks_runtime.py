"""Devices, batches, and what happens when memory runs out."""

from __future__ import annotations

import contextlib

import pytest

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings

torch = pytest.importorskip("torch")
from seg2d3d_ros.networks.runtime import REDUCED, Runtime, choose_device  # noqa: E402


class Model:
    def __init__(self):
        self.places = []

    def to(self, device):
        self.places.append(device)
        return self


def gpu(batch: int, findings: Findings | None = None) -> tuple[Runtime, Model]:
    """A runtime that believes it has a GPU."""
    runtime, model = Runtime("cpu", "full", batch, findings), Model()
    runtime.place(model)
    runtime.device = "cuda"
    runtime.arithmetic = contextlib.nullcontext
    return runtime, model


def limited(runtime, limit, sizes):
    def call(items):
        sizes.append((runtime.device, len(items)))
        if runtime.device == "cuda" and len(items) > limit:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return [2 * item for item in items]

    return call


def test_batches_keep_the_order():
    runtime, sizes = Runtime("cpu", "full", 3), []
    runtime.place(Model())
    assert runtime.map(limited(runtime, 9, sizes), list(range(8))) == [2 * k for k in range(8)]
    assert sizes == [("cpu", 3), ("cpu", 3), ("cpu", 2)]
    assert runtime.map(limited(runtime, 9, []), []) == []
    automatic = Runtime("cpu")
    automatic.place(Model())
    assert automatic.batch == 1


def test_a_full_gpu_gets_smaller_batches_and_it_is_said():
    found = Findings()
    runtime, model = gpu(8, found)
    said, sizes = [], []
    runtime.report = said.append
    assert runtime.map(limited(runtime, 3, sizes), list(range(9))) == [2 * k for k in range(9)]
    assert sizes == [("cuda", 8), ("cuda", 4), ("cuda", 2), ("cuda", 2), ("cuda", 2), ("cuda", 2), ("cuda", 1)]
    assert [(finding.kind, finding.count) for finding in found.list()] == [(REDUCED, 2)]
    assert (
        said
        == runtime.notes
        == [
            "cuda: out of memory with 8 at once, going on with 4",
            "cuda: out of memory with 4 at once, going on with 2",
        ]
    )
    assert runtime.batch == 2, "the next images begin with what fits"
    assert model.places == ["cpu"]


def test_an_image_too_large_for_the_gpu_goes_to_the_cpu_with_all_models():
    runtime, model = gpu(2)
    second = Model()
    runtime.place(second)
    sizes = []
    assert runtime.map(limited(runtime, 0, sizes), [1, 2, 3]) == [2, 4, 6]
    assert sizes[:3] == [("cuda", 2), ("cuda", 1), ("cpu", 1)]
    assert runtime.device == "cpu"
    assert model.places[-1] == second.places[-1] == "cpu"
    assert "much slower" in runtime.notes[-1]


def test_a_model_too_large_for_the_gpu_is_placed_on_the_cpu():
    runtime, _ = gpu(2)

    class Large(Model):
        def to(self, device):
            if device != "cpu":
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return super().to(device)

    large = Large()
    assert runtime.place(large) is large
    assert (runtime.device, large.places) == ("cpu", ["cpu"])


def test_other_errors_and_a_full_cpu_are_errors():
    runtime = Runtime("cpu", "full", 4)
    runtime.place(Model())

    def wrong(items):
        raise RuntimeError("shapes do not match")

    def full(items):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate")

    with pytest.raises(RuntimeError, match="shapes"):
        runtime.map(wrong, [1])
    with pytest.raises(DataError, match="smaller model"):
        runtime.map(full, [1, 2, 3])
    assert runtime.notes == ["cpu: out of memory with 3 at once, going on with 1"]


def test_devices_by_name():
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda", "mps")
    for wrong in ("gpu", "cuda:x", ""):
        with pytest.raises(UsageError, match="write auto"):
            choose_device(wrong)
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="sees no such device"):
            choose_device("cuda")


def test_half_precision_is_for_gpus_unless_asked_for():
    assert torch.is_autocast_enabled("cpu") is False
    for precision, expected in (("auto", torch.float32), ("full", torch.float32), ("half", torch.bfloat16)):
        runtime = Runtime("cpu", precision, 1)
        layer = runtime.place(torch.nn.Linear(2, 2))
        assert runtime.map(lambda items, layer=layer: [layer(items[0])], [torch.ones(1, 2)])[0].dtype == expected


def test_what_half_precision_cannot_compute_is_computed_in_full():
    runtime = Runtime("cpu", "half", 2)
    runtime.place(Model())

    def call(items):
        half = torch.is_autocast_enabled("cpu")
        runtime.check(torch.tensor([float("nan") if half else 1.0]))
        return [2 * item for item in items]

    assert runtime.map(call, [1, 2, 3]) == [2, 4, 6]
    assert runtime.notes == ["half precision gives no numbers with this model, going on in full precision"]
    with pytest.raises(DataError, match="no number"):
        runtime.map(lambda items: runtime.check(torch.tensor([float("nan")])), [1])


def test_release_lets_the_next_model_try_the_gpu_again():
    runtime, _ = gpu(2)
    runtime.map(limited(runtime, 0, []), [1])
    runtime.release()
    assert (runtime.device, runtime._models) == ("", [])
