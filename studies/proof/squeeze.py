"""Does squeeze-excitation behind each block pay at equal MACs? CIFAR-10 by the proof's recipe.

    python studies/proof/squeeze.py 10M-deep [--epochs 8] [--best 4] [--workers 2]

Trains the best networks of the proof again, with the proof's seeds, and a squeeze-excitation
(Hu et al. 2018, arXiv:1709.01507) behind each block, and writes both test errors side by side to
reports/proof/squeeze.md. Each training is kept in reports/proof/squeeze-BUDGET.json; typed again,
it goes on. The proof is to be there.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from proof import HERE, PROOF, SEEDS, SIDE
from torch import Tensor, nn
from trainings import Kept, mean_error, recipe, standard_error

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
    parser.add_argument("budget", help="such as 10M-deep, of studies/proof/cifar10-10M-deep.toml")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--best", type=int, default=4, help="how many networks of the proof")
    parser.add_argument("--workers", type=int, default=2, help="trainings at a time")
    options = parser.parse_args()
    study = HERE / f"cifar10-{options.budget}.toml"
    proof = Kept(PROOF / f"{options.budget}.json", recipe(study))
    kept = Kept(PROOF / f"squeeze-{options.budget}.json", recipe(study) | {"squeeze": True})
    every = networks(proof, options.epochs)[: options.best]
    jobs = [(arch, seed) for arch in every for seed in range(SEEDS)]
    left = [job for job in jobs if kept.training(job[0], options.epochs, job[1]) is None]
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        for training in pool.map(partial(squeezed, study, options.epochs), left):
            kept.add_training(training)
            print(training, flush=True)
    text = report(options, every, proof, kept)
    write_text(PROOF / "squeeze.md", text)
    print(text)


def networks(proof: Kept, epochs: int) -> list[ArchConfig]:
    """Those that the proof has trained with all seeds, by their mean test errors."""
    every = {ArchConfig.from_dict(each["network"]): None for each in proof.trainings}
    whole = [arch for arch in every if len(errors(proof, arch, epochs)) == SEEDS]
    return sorted(whole, key=lambda arch: statistics.mean(errors(proof, arch, epochs)))


def squeezed(path: Path, epochs: int, job: tuple[ArchConfig, int]) -> dict[str, Any]:
    """What one training with squeeze-excitation scored, on one thread. ``job``: network, seed."""
    arch, seed = job
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    plain = trainer.initial_network
    trainer.initial_network = lambda *words: with_squeeze(plain(*words))
    study = load_study(path)
    images = prepare(study.data)
    full = FullTraining.of("squeezed", arch, study, images, epochs, seed)
    own = full.recipe.model_copy(update={"kernels": "reference"})
    try:
        one = trainer.Trainer(arch, DeviceData(images, "cpu"), own, seed)
        score = one.train(epochs)
    finally:
        trainer.initial_network = plain
    assert score.failure is None, score.failure
    training = {"network": arch.to_dict(), "epochs": epochs, "seed": seed}
    return training | {
        "validation": score.error,
        "test": one.evaluate(prepare_test(study.data)).error,
    }


def report(options: Any, every: Sequence[ArchConfig], proof: Kept, kept: Kept) -> str:
    """Test errors of the networks with and without, as Markdown."""
    lines = [
        "# Squeeze-excitation behind each block",
        "",
        f"Written by `python studies/proof/squeeze.py {options.budget} --epochs {options.epochs}`: "
        f"test errors in percent after {options.epochs} epochs, means of {SEEDS} seeds ± their "
        "standard error. MACs more: what the squeeze-excitations add. Relative: the mean of the "
        "seeds' ratios ± its standard error.",
        "",
        "| network | M MACs | MACs more | without | with | relative |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    means = []
    for arch in every:
        own, other = (errors(each, arch, options.epochs) for each in (kept, proof))
        modules = with_squeeze(DenseNet(arch)).modules()
        macs = cost_of(arch, SIDE, SIDE).macs
        more = sum(each.macs for each in modules if isinstance(each, SqueezeExcitation)) / macs
        ratios = [100 * (a / b - 1) for a, b in zip(own, other, strict=True)]
        means.append(statistics.mean(ratios))
        cells = [
            arch.describe(), f"{macs / 1e6:.2f}", f"{100 * more:.2f} %",
            mean_error(other), mean_error(own), f"{mean_of(ratios)} %",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"All {len(means)} networks: {mean_of(means)} % (± between networks)."]
    return "\n".join(lines) + "\n"


def errors(kept: Kept, arch: ArchConfig, epochs: int) -> list[float]:
    """Of the test images, by seed."""
    found = [kept.training(arch, epochs, seed) for seed in range(SEEDS)]
    return [each["test"] for each in found if each]


def mean_of(values: Sequence[float]) -> str:
    """With its standard error."""
    return f"{statistics.mean(values):+.1f} ± {standard_error(values):.1f}"


if __name__ == "__main__":
    main()
