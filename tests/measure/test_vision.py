"""The kind vision: its network in closed form, its gradients, and trainings that repeat themselves."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import cell, record, run, suite
from pictures import idx_folder
from pydantic import ValidationError
from torch.utils.flop_counter import FlopCounterMode

from polybench.compare.comparisons import Comparisons
from polybench.kind import Fact
from polybench.measure.kinds.vision import ACCURACY, LOSS, LOSS_CURVE, PARAMETERS, TRAIN_LOSS
from polybench.measure.model.build import chosen
from polybench.measure.resnet_shape import BlockShape, ResNetShape
from polybench.measure.shape import EQUAL
from polybench.measure.vision.images import Images, Side, images
from polybench.measure.vision.resnet import Block, ResNet, loss_of
from polybench.measure.vision.training import Training, moments
from polybench.measure.vision_axes import VisionAxes
from polybench.measure.worker import messages_of
from polybench.message import Ending
from polybench.record import Measurement, Status
from polybench.registry import activations
from polybench.trial import Job, Trial

NAMES = [n for n, e in activations.entries().items() if e.origin.startswith("polybench/")]
QUICK = {"width": 4, "batch": 8, "epochs": 2}


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"idx:{idx_folder(tmp_path_factory.mktemp('mnist'))}"


def said(activation: str, seed: int = 0, dtype: str = "float32", rate: float | None = None, **axes: Any) -> list[Any]:
    trial = Trial("vision", cell("vision", activation, dtype=dtype, **{**QUICK, **axes}), seed, rate=rate)
    return [message.item for message in messages_of(Job((trial,), ()))]


def measured(items: list[Any]) -> dict[str, tuple[float, ...]]:
    return {m.metric: m.values for m in items if isinstance(m, Measurement) and m.metric != "training_time"}


@pytest.mark.parametrize("name", NAMES)
def test_every_activation_is_trained_on_images(name: str, named: str) -> None:
    rows = "channels and positions" if "norm" in name else "channels"
    found = measured(said(name, images=named, normalised=rows, epochs=8))  # in which batch norm's means settle
    assert 0 < found[LOSS.name][0] < math.log(3) and 1 / 3 < found[ACCURACY.name][0] <= 1
    assert found[LOSS_CURVE.name][-1] == found[LOSS.name][0]
    assert len(found[TRAIN_LOSS.name]) == 8 * 24 // 8


@pytest.mark.parametrize(("width", "depth", "colours", "classes"), [(4, 1, 1, 10), (5, 2, 3, 100), (8, 3, 2, 3)])
@pytest.mark.parametrize(("name", "branches", "coefficients"), [("relu", 1, 0), ("swiglu", 2, 0), ("polynorm", 1, 4)])
def test_parameters_are_counted_in_closed_form(
    name: str, branches: int, coefficients: int, width: int, depth: int, colours: int, classes: int
) -> None:
    shape = ResNetShape(width, depth)
    model = ResNet(shape, colours, classes, chosen(name), "channels")
    assert sum(p.numel() for p in model.parameters()) == shape.parameters(colours, classes, branches, coefficients)


def test_parameters_of_the_smallest_network_by_hand() -> None:
    """Two channels: 18 + 4 of the stem; stages of 2, 4 and 8, kernels, norms and two projections; 8 + 1 to 10."""
    stages = 2 * 36 + 8, (72 + 144) + 16 + (8 + 8), (288 + 576) + 32 + (32 + 16)
    assert ResNetShape(2, 1).parameters(1, 10) == 22 + sum(stages) + 90


@pytest.mark.parametrize(("height", "width", "colours"), [(8, 8, 1), (7, 5, 3)])
def test_multiplications_are_those_of_the_convolutions(height: int, width: int, colours: int) -> None:
    shape = ResNetShape(4, 2)
    model = ResNet(shape, colours, 10, chosen("relu"), "channels")
    with FlopCounterMode(display=False) as counted:
        model(torch.zeros(2, colours, height, width))
    (found,) = (n for op, n in counted.get_flop_counts()["Global"].items() if "convolution" in str(op))
    assert found == 2 * 2 * shape.multiplications(height, width, colours)


@pytest.mark.parametrize("depth", [1, 2, 3, 9])
def test_a_gated_network_is_narrower_and_has_equal_parameters(depth: int) -> None:
    for width in range(4, 40):
        shape = ResNetShape(width, depth)
        assert shape.hidden(1) == tuple(block.after for block in shape.blocks)
        assert not shape.unequal({1, 2})
        assert all(block.after > F for F, block in zip(shape.hidden(2), shape.blocks, strict=True))
        plain, gated = (shape.parameters(1, 10, G) for G in (1, 2))
        assert abs(gated / plain - 1) <= EQUAL
    wide = ResNetShape(256, 4)
    same = [(F, b) for F, b in zip(wide.hidden(2), wide.blocks, strict=True) if b.before == b.after]
    assert all(abs(F / b.after - 2 / 3) < 0.01 for F, b in same)


def test_a_network_too_narrow_for_equal_parameters_is_refused_with_one_that_is_not() -> None:
    why = VisionAxes(width=3).unequal({1, 2})
    assert re.fullmatch(
        r"width 3: .* 2 branches have \d\.\d+% (more|fewer) parameters than plain ones; take width \d", why
    )
    assert not VisionAxes(width=int(why[-1])).unequal({1, 2})
    assert not VisionAxes(width=3).unequal({2})


@pytest.mark.parametrize("rows", ["channels", "channels and positions"])
@pytest.mark.parametrize("name", ["gelu", "swiglu", "polynorm"])
def test_gradients_of_the_whole_network_are_derivatives(name: str, rows: Any) -> None:
    """In float64, of a smooth activation: along random directions of all parameters and of the images."""
    torch.manual_seed(0)
    model = ResNet(ResNetShape(2, 1), 1, 3, chosen(name), rows).initialise(0).double()
    x_BxCxHxW = torch.randn(3, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    y_B = torch.tensor([0, 2, 1])
    names, values = zip(*model.named_parameters(), strict=True)

    def loss(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        call = torch.func.functional_call
        return loss_of(lambda x: call(model, dict(zip(names, parameters, strict=True)), (x,)), x, y_B)

    assert torch.autograd.gradcheck(loss, (x_BxCxHxW, *values), fast_mode=True)


@pytest.mark.parametrize("name", ["relu", "gelu", "swiglu"])
def test_what_acts_number_by_number_does_not_see_what_a_row_is(name: str) -> None:
    shape, x_BxCxHxW = BlockShape(4, 8), torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    of = {rows: Block(shape, 5, chosen(name), rows) for rows in ("channels", "channels and positions")}
    of["channels"].load_state_dict(of["channels and positions"].state_dict())
    by_position, by_image = (block(x_BxCxHxW) for block in of.values())
    assert by_position.shape == (2, 8, 3, 3)
    assert torch.allclose(by_position, by_image, atol=1e-6)


def test_polynorm_normalises_the_rows_that_are_asked_for() -> None:
    x_BxFxHxW = torch.randn(2, 6, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for rows, dimensions in (("channels", (1,)), ("channels and positions", (1, 2, 3))):
        block = Block(BlockShape(4, 4), 6, chosen("polynorm(eps=0)"), rows).double()
        powers = [x_BxFxHxW**n for n in (1, 2, 3)]
        wanted = sum(p / p.square().mean(dimensions, keepdim=True).sqrt() for p in powers) / 3
        assert torch.allclose(block._activate(x_BxFxHxW), wanted, atol=1e-12)


def test_equal_seeds_give_equal_losses_to_the_bit(named: str) -> None:
    once, again, other = (measured(said("polynorm", seed=seed, images=named)) for seed in (0, 0, 1))
    assert once == again
    assert once[TRAIN_LOSS.name] != other[TRAIN_LOSS.name]


def test_equal_seeds_draw_equal_kernels_and_orders_for_all(named: str) -> None:
    pictures, axes = images(named), VisionAxes(**QUICK)
    a, b = (Training(axes, pictures, chosen(name), 0.01, 3, "cpu", "float32") for name in ("relu", "polynorm"))
    assert all(torch.equal(p, dict(b.model.named_parameters())[name]) for name, p in a.model.named_parameters())
    assert all(torch.equal(x, y) for x, y in zip(a._batches(), b._batches(), strict=True))
    drawn = torch.cat(list(a._batches())[:3])
    assert sorted(drawn.tolist()) == list(range(24))


def test_a_training_learns(named: str) -> None:
    found = measured(said("gelu", images=named, epochs=12, lr="tuned", rate=0.02))
    assert found[LOSS.name][0] < 0.5 * math.log(3)
    assert found[ACCURACY.name][0] >= 0.75
    assert found["learning_rate"] == (0.02,)
    assert found[PARAMETERS.name] == (ResNetShape(4, 1).parameters(1, 3),)


def test_the_score_is_that_of_the_whole_held_out_side(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(VisionAxes(**QUICK), images(named), chosen("relu"), 0.01, 0, "cpu", "float64")
    with torch.no_grad():
        training.model.head.weight.zero_()
        training.model.head.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    nats = math.log(2 + math.e) - torch.tensor([0, 1, 0])[torch.arange(8) % 3].double().mean()
    monkeypatch.setattr("polybench.measure.vision.training._AT_ONCE", 3)
    assert training.score().loss == pytest.approx(float(nats), rel=1e-12)
    assert training.score().accuracy == 3 / 8


def test_pixels_are_centred_and_scaled_by_those_that_are_trained_on() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 4), dtype=np.uint8)
    pixels[:, 2] = 7
    found = moments(Side(pixels, np.zeros(5)))
    assert found[0].tolist() == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert found[1].tolist() == pytest.approx([*pixels.std((0, 2, 3))[:2], 1])


def test_the_rate_rises_and_falls_to_nothing(named: str) -> None:
    axes = VisionAxes(**{**QUICK, "epochs": 20})
    training = Training(axes, images(named), chosen("relu"), 0.01, 0, "cpu", "float32")
    rates = [training._optimizer.param_groups[0]["lr"] / 0.01 for _ in training.run()]
    assert rates[:6] == pytest.approx([k / 6 for k in range(1, 7)])
    assert rates[6:] == sorted(rates[6:], reverse=True)
    assert 0 < rates[-1] < 1e-2


@pytest.mark.parametrize(
    ("axes", "dtype", "status", "words"),
    [
        ({"lr": 1e8, "epochs": 8}, "float32", Status.DIVERGED, r"the (held-out )?loss (ended at|became)"),
        ({"lr": "tuned"}, "float32", Status.FAILED, "lr tuned: no learning rate that was tried"),
        ({"batch": 32}, "float32", Status.UNSUPPORTED, "batch 32 is more than the 24 images that are trained on"),
        ({}, "bfloat16", Status.UNSUPPORTED, "vision trains in float32 or float64, not in bfloat16"),
    ],
)
def test_what_cannot_be_is_a_record(axes: dict[str, Any], dtype: str, status: Status, words: str, named: str) -> None:
    ending = said("polyrelu", dtype=dtype, **{"images": named, **axes})[-1]
    assert isinstance(ending, Ending)
    assert ending.status is status
    assert re.search(words, ending.error)


def test_the_hash_of_the_images_is_a_fact(named: str, tmp_path: Path) -> None:
    other = idx_folder(tmp_path, packed=True)
    kept = [next(i for i in said("relu", images=n) if isinstance(i, Fact)) for n in (named, f"idx:{other}")]
    assert kept[0] == kept[1] == Fact("images", images(named).hash)
    pictures: Images = images(named)
    pixels = pictures.train.x_NxCxHxW.copy()
    pixels[0, 0, 0, 0] ^= 1
    (other / "train-images-idx3-ubyte.gz").unlink()
    head = (Path(named.removeprefix("idx:")) / "train-images-idx3-ubyte").read_bytes()[:16]
    (other / "train-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
    assert images(f"idx:{other}").hash != pictures.hash


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"images": "digit"}, "there are no images 'digit', did you mean 'digits'"),
        ({"images": "idx"}, "images 'idx' is written idx:FOLDER"),
        ({"images": "digits:here"}, "images 'digits' takes no folder"),
        ({"images": "cifar:nowhere"}, "images cifar: 'nowhere' cannot be read: No such file"),
        ({"normalised": "positions"}, "Input should be 'channels' or 'channels and positions'"),
        ({"batch": 1}, "greater than or equal to 2"),
    ],
)
def test_what_a_suite_may_not_say(axes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        VisionAxes(**axes)


def test_losses_in_nats_an_image_have_the_margin_of_losses_and_shares_have_none() -> None:
    of = suite(benchmarks=[{"name": "vision", "kind": "vision"}], loss_margin=0.02)
    values = {LOSS.name: [0.3], ACCURACY.name: [0.9]}
    records = [replace_seed(name, values, seed) for name in of.activations for seed in range(3)]
    grid = Comparisons.of(run(records, of)).grid
    assert (grid.loss_margin("vision", LOSS), grid.loss_margin("vision", ACCURACY)) == (0.02, 0)
    assert (LOSS.effect, ACCURACY.effect) == ("difference", "difference")


def replace_seed(name: str, values: dict[str, list[float]], seed: int) -> Any:
    return replace(record("vision", name, values), trial=Trial("vision", cell("vision", name), seed))


def test_warming_up_leaves_nothing_behind(named: str) -> None:
    pictures, axes = images(named), VisionAxes(**QUICK)
    cold, warm = (Training(axes, pictures, chosen("polynorm"), 0.01, 3, "cpu", "float32") for _ in range(2))
    warm.warm_up()
    assert list(cold.run()) == list(warm.run())
    assert all(torch.equal(value, warm.model.state_dict()[name]) for name, value in cold.model.state_dict().items())
