"""What a stem of patches is worth at equal MACs: CIFAR-10 at 32x32, by the proof's recipe.

    python studies/proof/stems.py [--macs 3e6] [--epochs 6] [--threads 2]

Shapes of two kinds behind each stem, as wide as the MACs allow, three seeds each. Typed again it
goes on. Writes reports/proof/stems.md.
"""

from __future__ import annotations

import argparse
import statistics

from families import Family, scaled
from proof import HERE, PROOF, SEEDS, SIDE
from trainings import Kept, Network, Trainer, recipe

from dnsearch.cost.formula import cost_of

SHAPES = {
    "rising": Family((1, 1.7, 2.9), ((2, 3, 3),), 2),
    "uniform": Family((1, 1, 1), ((3, 3, 3),), 2),
}
STEMS = ("cifar", "patch2", "patch4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--macs", type=float, default=3e6)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2, help="training runs at a time")
    options = parser.parse_args()
    PROOF.mkdir(parents=True, exist_ok=True)
    networks = [
        Network(
            f"{shape} {stem}", shape, scaled(family, family.depths[0], SIDE, options.macs, stem)
        )
        for shape, family in SHAPES.items()
        for stem in STEMS
    ]
    study = HERE / "cifar10-10M.toml"
    kept = Kept(PROOF / "stems.json", recipe(study))
    train = Trainer(study, kept, options.epochs, options.threads)
    lines = [
        "# Stems at equal MACs",
        "",
        f"Written by `python studies/proof/stems.py --macs {options.macs:g} --epochs "
        f"{options.epochs}`: test errors in percent, {SEEDS} seeds and their mean.",
        "",
        "| shape and stem | network | M MACs | k params | test errors | mean |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for found in train.all(networks, seeds=range(SEEDS)):
        name, _, arch = found.network
        cost = cost_of(arch, SIDE, SIDE)
        each = ", ".join(f"{100 * error:.2f}" for error in found.test)
        cells = [name, arch.describe(), f"{cost.macs / 1e6:.2f}", f"{cost.params / 1e3:.1f}", each]
        lines.append(f"| {' | '.join(cells)} | {100 * statistics.mean(found.test):.2f} |")
    text = "\n".join(lines) + "\n"
    (PROOF / "stems.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
