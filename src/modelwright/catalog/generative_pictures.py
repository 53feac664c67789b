"""Pictures of a training: the loss over the steps, and samples of what the model is of."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright.core.sections import Picture
from modelwright.data.examples import Split

if TYPE_CHECKING:
    from modelwright.generative.training import Fit

WIDTH = 8
"""Samples in a row of a picture."""


def loss_picture(fit: "Fit") -> Picture:
    """Training and held-out loss over the steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.add_subplot()
    name = next(key for key in fit.history if key.endswith("loss"))
    axes.plot(fit.history["step"], fit.history[name], color="0.6", label="trained on")
    if fit.evaluations:
        steps, losses = zip(*fit.evaluations, strict=True)
        axes.plot(steps, losses, color="C0", marker=".", label="held out")
    settled = np.asarray(fit.history[name][len(fit.history[name]) // 10 :])
    settled = settled[np.isfinite(settled)]  # a training that diverged has means of no finite update
    if len(settled) > 2:  # the first steps would flatten the rest
        span = float(np.ptp(settled)) or 1.0
        axes.set_ylim(float(settled.min()) - 0.3 * span, float(settled.max()) + 0.3 * span)
    axes.set_xlabel("step")
    axes.set_ylabel("nats per example")
    axes.legend(frameon=False)
    return Picture("loss", "Loss", _svg(figure), "svg", "Training and held-out loss over the steps")


def samples_picture(samples: Any, data: Split) -> Picture | None:
    """Samples beside data: images in a grid, points in the plane; None where there is nothing to see."""
    if not isinstance(samples, np.ndarray):
        return None
    if is_image(samples.shape[1:]):
        content = image_grid(samples)
    elif samples.shape[1:] == (2,):
        content = points_png(samples, np.asarray(data.test.x))
    else:
        return None
    return Picture("samples", "Samples", content, "png", f"{len(samples)} samples of the model")


def is_image(shape: tuple[int, ...]) -> bool:
    """Whether the shape of an example is height x width x channels of one or three channels."""
    return len(shape) == 3 and shape[-1] in (1, 3)


def image_grid(images: np.ndarray) -> bytes:
    """A PNG of images side by side, each scaled to the whole range of all of them; grey where there is no number.

    Args:
        images: Shape (n, height, width, channels), channels 1 or 3.
    """
    from matplotlib.figure import Figure

    x = np.asarray(images, float)
    numbers = x[np.isfinite(x)]
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 1.0)
    x = np.where(np.isfinite(x), (x - low) / ((high - low) or 1.0), 0.5)
    rows = -(-len(x) // WIDTH)
    height, width, channels = x.shape[1:]
    sheet = np.ones((rows * (height + 1) + 1, WIDTH * (width + 1) + 1, channels))
    for k, image in enumerate(x):
        top, left = (k // WIDTH) * (height + 1) + 1, (k % WIDTH) * (width + 1) + 1
        sheet[top : top + height, left : left + width] = image
    scale = max(1, 640 // sheet.shape[1])
    sheet = sheet.repeat(scale, 0).repeat(scale, 1)
    figure = Figure(figsize=(sheet.shape[1] / 100, sheet.shape[0] / 100), dpi=100)
    figure.figimage(sheet[..., 0] if channels == 1 else sheet, cmap="gray", vmin=0.0, vmax=1.0)
    return _png(figure)


def points_png(samples: np.ndarray, data: np.ndarray | None = None) -> bytes:
    """A PNG of points in the plane, shape (n, 2), over those of the data.

    The frame is that of all but the outermost thousandth on each side, with a margin: one sample far away would leave
    a speck of the others. How many lie beyond, or are no numbers, is written above.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    if data is not None and data.shape[1:] == (2,):
        axes.scatter(data[:2000, 0], data[:2000, 1], s=4, color="0.8", label="data")
    size = 6 if len(samples) <= 500 else 1  # many points show a density, few are shown one by one
    axes.scatter(samples[:, 0], samples[:, 1], s=size, color="C0", label="samples")
    axes.set_aspect("equal")
    finite = samples[np.isfinite(samples).all(-1)]
    low, high = np.quantile(finite if len(finite) else np.zeros((1, 2)), [0.001, 0.999], axis=0)
    margin = 0.1 * np.maximum(high - low, 1e-6)
    beyond = int(((finite < low - margin) | (finite > high + margin)).any(-1).sum())
    if beyond:
        (left, bottom), (right, top) = low - margin, high + margin
        axes.set(xlim=(left, right), ylim=(bottom, top))
    lost = len(samples) - len(finite)
    said = [f"{k} of {len(samples):,} {what}" for k, what in ((beyond, "lie beyond"), (lost, "are no numbers")) if k]
    if said:
        axes.set_title(", ".join(said), fontsize="small")
    if data is not None:
        axes.legend(frameon=False)
    return _png(figure)


def _svg(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def _png(figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
