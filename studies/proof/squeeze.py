"""Does squeeze-excitation behind each block pay at equal MACs? CIFAR-10 by the proof's recipe.

    python studies/proof/squeeze.py 10M [--epochs 8] [--threads 1]

Trains the networks of the proof's table again, with the proof's seeds, and a squeeze-excitation
(Hu et al. 2018, arXiv:1709.01507) behind each block, and writes both test errors side by side to
reports/proof/squeeze.md. Each training is kept in reports/proof/squeeze.json; typed again, it goes
on. The proof is to be there.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import torch
from proof import HERE, PROOF, SEEDS, SIDE, Kept, mean_error, recipe
from torch import Tensor, nn

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.densenet import DenseNet
from dnsearch.config import load_study
from dnsearch.cost.formula import cost_of
from dnsearch.data import prepare, prepare_test
from dnsearch.data.device import DeviceData
from dnsearch.files import write_text
from dnsearch.training import trainer
from dnsearch.training.full import FullTraining

REDUCTION = 16
"""As in the paper."""


class SqueezeExcitation(nn.Module):
    """Weighs each channel by what the means of all channels tell: (n, c, h, w) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(4, channels // REDUCTION)
        self.squeeze, self.excite = nn.Linear(channels, inner), nn.Linear(inner, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """The maps, weighed."""
        weights = torch.sigmoid(self.excite(torch.relu(self.squeeze(maps.mean((2, 3))))))
        return maps * weights[..., None, None]

    @property
    def macs(self) -> int:
        """Multiply-adds of an image, without those of the mean and of the weighing."""
        return self.squeeze.weight.numel() + self.excite.weight.numel()


def with_squeeze(model: DenseNet) -> DenseNet:
    """The network with a squeeze-excitation behind each block."""
    arch = model.config
    for block, (layers, growth_rate) in enumerate(
        zip(arch.block_config, arch.growth_rates, strict=True)
    ):
        name = f"denseblock{block + 1}"
        squeeze = SqueezeExcitation(arch.widths[block] + layers * growth_rate)
        setattr(model.features, name, nn.Sequential(getattr(model.features, name), squeeze))
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("budget", help="such as 10M, of studies/proof/cifar10-10M.toml")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    study = HERE / f"cifar10-{options.budget}.toml"
    proof = Kept(PROOF / f"{options.budget}.json", recipe(study))
    kept = Kept(PROOF / "squeeze.json", recipe(study) | {"squeeze": True})
    lines = [
        "# Squeeze-excitation behind each block",
        "",
        f"Written by `python studies/proof/squeeze.py {options.budget} --epochs {options.epochs}`: "
        f"test errors in percent after {options.epochs} epochs, means of {SEEDS} seeds ± their "
        "standard error. MACs more: what the squeeze-excitations add.",
        "",
        "| network | M MACs | MACs more | without | with | relative |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for arch in networks(proof, options.epochs):
        runs = [squeezed(kept, study, arch, options.epochs, seed) for seed in range(SEEDS)]
        plain = [proof.training(arch, options.epochs, seed) for seed in range(SEEDS)]
        own, other = errors(runs), errors([each for each in plain if each])
        more = sum(m.macs for m in with_squeeze(DenseNet(arch)).modules() if hasattr(m, "macs"))
        macs = cost_of(arch, SIDE, SIDE).macs
        cells = [
            arch.describe(), f"{macs / 1e6:.2f}", f"{100 * more / macs:.2f} %",
            mean_error(other), mean_error(own),
            f"{100 * (statistics.mean(own) / statistics.mean(other) - 1):+.1f} %",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    write_text(PROOF / "squeeze.md", "\n".join(lines) + "\n")


def networks(proof: Kept, epochs: int) -> list[ArchConfig]:
    """Those that the proof has trained with all seeds."""
    every = {ArchConfig.from_dict(each["network"]): None for each in proof.trainings}
    return [a for a in every if all(proof.training(a, epochs, seed) for seed in range(SEEDS))]


def errors(trainings: list[dict[str, Any]]) -> list[float]:
    """Of the test images."""
    return [each["test"] for each in trainings]


def squeezed(kept: Kept, path: Any, arch: ArchConfig, epochs: int, seed: int) -> dict[str, Any]:
    """What one training with squeeze-excitation scored."""
    known = kept.training(arch, epochs, seed)
    if known is not None:
        return known
    study = load_study(path)
    images = prepare(study.data)
    full = FullTraining.of("squeezed", arch, study, images, epochs, seed)
    own = full.recipe.model_copy(update={"kernels": "reference"})
    data = DeviceData(images, "cpu")
    plain = trainer.initial_network
    trainer.initial_network = lambda arch, seed: with_squeeze(plain(arch, seed))
    try:
        one = trainer.Trainer(arch, data, own, seed)
        score = one.train(epochs)
    finally:
        trainer.initial_network = plain
    assert score.failure is None, score.failure
    training = {"network": arch.to_dict(), "epochs": epochs, "seed": seed}
    training |= {"validation": score.error, "test": one.evaluate(prepare_test(study.data)).error}
    kept.add_training(training)
    return training


if __name__ == "__main__":
    main()
