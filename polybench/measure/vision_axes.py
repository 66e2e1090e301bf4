"""The axes of the kind `vision`: images, network and training, everything that decides the loss."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from polybench.kind import Axes, Protocol
from polybench.measure.image_files import Images, ImagesName
from polybench.measure.resnet_shape import ResNetShape

# Images that are trained on, height, width, colours: of the files that the names stand for as they are published.
_USUAL = {"digits": (1348, 8, 8, 1), "idx": (60_000, 28, 28, 1), "cifar": (50_000, 32, 32, 3)}
_MULTIPLICATIONS_PER_S, _STEP_S = 1.5e10, 2.5e-3  # of one core of a small machine, for guesses of time


class VisionAxes(Axes):
    """A residual network, its images and its training."""

    images: Images = Field("digits", description="digits, idx:FOLDER as MNIST, or cifar:FOLDER, the binary version")
    width: PositiveInt = Field(16, le=1024, description="channels of the first stage; the next have twice as many each")
    depth: PositiveInt = Field(1, le=64, description="blocks a stage")
    normalised: Literal["channels", "channels and positions"] = Field(
        "channels", description="what a row of the activation is: the channels of one position, or of all of an image"
    )
    epochs: PositiveInt = Field(10, description="passes over the images")
    batch: int = Field(64, ge=2, description="images a step")
    lr: PositiveFloat | Literal["tuned", "shared"] = Field(
        0.01, description="peak learning rate; tuned: each activation's own best, shared: the best of all"
    )
    warm_up: float = Field(
        0.1, ge=0, lt=1, description="share of the steps in which the rate rises; then a cosine to 0"
    )
    weight_decay: float = Field(0.1, ge=0, description="decay of kernels; norms, biases and coefficients have none")
    clip: PositiveFloat = Field(1.0, description="largest norm of the gradient")

    @property
    def shape(self) -> ResNetShape:
        return ResNetShape(self.width, self.depth)

    def unequal(self, branches: Collection[int]) -> str:
        return self.shape.unequal(branches)


class VisionProtocol(Protocol):
    """How often the held-out images are looked at."""

    evaluations: PositiveInt = Field(5, description="looks at the held-out images, evenly spaced, the last at the end")


def seconds(axes: VisionAxes, protocol: VisionProtocol) -> float:
    """A guess for files as they are published: two passes backward for one forward, and what every step costs."""
    images, height, width, colours = _USUAL[ImagesName.parse(axes.images).source]
    steps = axes.epochs * (images // axes.batch)
    passes = 3 * images * axes.epochs + 0.2 * images * protocol.evaluations
    work = passes * axes.shape.multiplications(height, width, colours) / _MULTIPLICATIONS_PER_S
    return 1 + work + steps * axes.depth * _STEP_S
