"""What the space that `dnsearch init` writes is worth beside the default one, within a tight limit.

    python studies/proof/suited.py [--macs 2e6] [--compute 1e13] [--epochs 8] [--threads 2]

CIFAR-10 at 32x32 by the proof's recipe: both spaces are searched with the same compute, and the two
answers are trained again with three fresh seeds. Typed again it goes on. Writes
reports/proof/suited.md.
"""

from __future__ import annotations

import argparse

from proof import HERE, PROOF, SEEDS, SIDE, search
from trainings import Kept, Network, Trainer, mean_error, recipe

from dnsearch.arch.config import ArchConfig
from dnsearch.config import SpaceConfig, load_study, suited_space, to_toml
from dnsearch.cost.formula import cost_of
from dnsearch.files import write_text

SPACES = {"default": SpaceConfig(), "init": suited_space(SIDE)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Two spaces, searched alike.")
    parser.add_argument("--macs", type=float, default=2e6)
    parser.add_argument("--compute", type=float, default=1e13, help="MACs of each search")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2, help="full trainings at a time")
    options = parser.parse_args()
    base = load_study(HERE / "cifar10-10M.toml")
    limits = base.limits.model_copy(update={"max_macs": int(options.macs)})
    kept = Kept(PROOF / "suited.json", recipe(HERE / "cifar10-10M.toml"))
    lines = [
        "# The space of `dnsearch init` beside the default one",
        "",
        f"Written by `python studies/proof/suited.py --macs {options.macs:g} --compute "
        f"{options.compute:g} --epochs {options.epochs}`. Errors in percent, means of {SEEDS} "
        "seeds ± their standard error.",
        "",
        "| space | answer | training runs | M MACs | k params | validation | test |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, space in SPACES.items():
        study = base.model_copy(update={"space": space, "limits": limits})
        file = PROOF / f"suited-{name}.toml"
        text = to_toml(study)
        write_text(file, text[: text.index("[search]")])  # ``search`` adds its own
        if name not in kept.searches:
            kept.add_search(name, search(file, "known-cost", options.compute))
        found = kept.searches[name]
        arch = ArchConfig.from_dict(found["network"])
        train = Trainer(file, kept, options.epochs, options.threads)
        (row,) = train.all([Network(name, name, arch)], seeds=range(SEEDS))
        cost = cost_of(arch, SIDE, SIDE)
        cells = [
            name, arch.describe(), str(found["tried"]), f"{cost.macs / 1e6:.2f}",
            f"{cost.params / 1e3:.1f}", mean_error(row.validation), mean_error(row.test),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    write_text(PROOF / "suited.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
