"""Zero-cost scores of an untrained network, from one batch of images.

Of each a higher value is said to mean a better network. All take the network as it trains: plain
modules, batch norm with the batch's statistics. A score that is not a finite number is None.
Abdelfattah et al. 2021 (arXiv:2101.08134) compare them; "their code" below is
github.com/SamsungLabs/zero-cost-nas. As there, ``synflow``, ``snip`` and ``grad_norm`` sum over the
weights of convolutions and linear layers, without norms and biases.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from dnsearch.arch.config import ArchConfig
from dnsearch.data import DeviceData
from dnsearch.training.initial import initial_network

SYNFLOW, NASWOT, JACOB_COV, SNIP, GRAD_NORM = "synflow", "naswot", "jacob_cov", "snip", "grad_norm"
SCORES = (SYNFLOW, NASWOT, JACOB_COV, SNIP, GRAD_NORM)

BATCH = 64
"""Images; the kernels of ``naswot`` and ``jacob_cov`` have a row for each."""

EIGENVALUE_FLOOR = 1e-5
"""Added to the eigenvalues of ``jacob_cov``, as in its paper."""

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm)


def zero_cost_scores(
    arch: ArchConfig, images: Tensor, labels: Tensor, seed: int
) -> dict[str, float | None]:
    """All ``SCORES`` of the network that a ``Trainer`` with this seed would begin with, by name.

    ``images`` (n, c, h, w) float32 normalised, ``labels`` (n,) int64 on the same device. Dropout is
    left out: it would add noise of its own. Global random generators are not changed.

    Raises ConfigError for images smaller than ``arch.least_size``.
    """
    model = initial_network(arch.replace(drop_rate=0.0), seed).to(images.device)
    return {
        SYNFLOW: synflow(model, images),
        NASWOT: naswot(model, images),
        JACOB_COV: jacob_cov(model, images),
        SNIP: snip(model, images, labels),
        GRAD_NORM: grad_norm(model, images, labels),
    }


def one_batch(data: DeviceData, size: int = BATCH) -> tuple[Tensor, Tensor]:
    """Training images (size, c, h, w) without augmentation and labels (size,), the same every time;
    all images where there are fewer. Raises ConfigError on a size of 1.
    """
    generator = torch.Generator(data.device).manual_seed(0)
    return next(data.batches(size, generator))


def synflow(model: nn.Module, images: Tensor) -> float | None:
    """Natural logarithm of the sum over weights of ``w dR/dw``, where R sums the logits that an
    image of ones gets from the absolute values of all parameters (Tanaka et al. 2020,
    arXiv:2006.05467).

    Only the shape of ``images`` (n, c, h, w) is used. As in their code all norms are left out and
    numbers are doubles: densenet264 reaches e^458, and a double holds up to e^709.
    """
    model = _without_norms(copy.deepcopy(model).double())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    ones = torch.ones_like(images[:1], dtype=torch.float64)
    flow = sum((w * g).sum() for w, g in _with_gradients(model, lambda: model(ones).sum()))
    return _finite(torch.as_tensor(flow).log())


def naswot(model: nn.Module, images: Tensor) -> float | None:
    """Log determinant of the kernel (n, n) that counts the ReLU units that two images agree on,
    both on or both off (Mellor et al. 2021, arXiv:2006.04647v3).

    ``images`` is (n, c, h, w). None where all units of two images agree.
    """
    codes = _ReluCodes(len(images), images.device)
    with torch.no_grad(), codes:
        copy.deepcopy(model)(images)
    return _finite(torch.linalg.slogdet(codes.kernel).logabsdet)


def jacob_cov(model: nn.Module, images: Tensor) -> float | None:
    """Minus the sum of ``log v + 1 / v`` over the eigenvalues v of the correlations (n, n) between
    images of the gradient of the summed logits in the pixels (Mellor et al. 2020,
    arXiv:2006.04647v1, and their code).

    ``images`` is (n, c, h, w). The score is least where all gradients are alike.
    """
    pixels = images.detach().clone().requires_grad_()
    (jacobian,) = torch.autograd.grad(copy.deepcopy(model)(pixels).sum(), pixels)
    correlation = torch.corrcoef(jacobian.flatten(1).double())  # (n, n)
    if not correlation.isfinite().all():  # eigvalsh would raise
        return None
    eigenvalues = torch.linalg.eigvalsh(correlation) + EIGENVALUE_FLOOR
    return _finite(-(eigenvalues.log() + 1 / eigenvalues).sum())


def snip(model: nn.Module, images: Tensor, labels: Tensor) -> float | None:
    """Sum over weights of ``|w g|``, g the gradient of the mean cross-entropy in nats (Lee et al.
    2019, arXiv:1810.02340). ``images`` (n, c, h, w), ``labels`` (n,)."""
    pairs = _loss_gradients(model, images, labels)
    return _finite(torch.stack([(w * g).abs().sum() for w, g in pairs]).sum())


def grad_norm(model: nn.Module, images: Tensor, labels: Tensor) -> float | None:
    """Euclidean norm of the gradient of the mean cross-entropy in nats in all weights, as in the
    paper; their code sums the norms of layers. ``images`` (n, c, h, w), ``labels`` (n,)."""
    pairs = _loss_gradients(model, images, labels)
    return _finite(torch.stack([g.square().sum() for _, g in pairs]).sum().sqrt())


class _ReluCodes(TorchFunctionMode):
    """While entered, records every ReLU, module or function; hooks would miss the function before
    the classifier. ``kernel`` (n, n): the number of units that two images agree on."""

    def __init__(self, images: int, device: torch.device) -> None:
        super().__init__()
        self.kernel = torch.zeros((images, images), dtype=torch.float64, device=device)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in ("relu", "relu_"):
            on = (out > 0).flatten(1).double()  # (n, units)
            self.kernel += on @ on.T + (1 - on) @ (1 - on).T
        return out


def _without_norms(model: nn.Module) -> nn.Module:
    """The model, its norms replaced by the identity in place."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, NORMS):
                setattr(parent, name, nn.Identity())
    return model


def _loss_gradients(
    model: nn.Module, images: Tensor, labels: Tensor
) -> list[tuple[Tensor, Tensor]]:
    model = copy.deepcopy(model)  # a forward pass in training mode changes running statistics
    return _with_gradients(model, lambda: F.cross_entropy(model(images), labels))


def _with_gradients(model: nn.Module, value: Callable[[], Tensor]) -> list[tuple[Tensor, Tensor]]:
    """The weights of convolutions and linear layers, each with the gradient of ``value()``."""
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    weights = [layer.weight for layer in layers]
    gradients = torch.autograd.grad(value(), weights, materialize_grads=True)
    return [(w.detach(), g) for w, g in zip(weights, gradients, strict=True)]


def _finite(score: Tensor) -> float | None:
    value = score.item()
    return value if math.isfinite(value) else None
