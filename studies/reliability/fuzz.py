"""Whether any file a user hands over leads to more than one line (docs/reliability.md).

    python studies/reliability/fuzz.py [KIND ...] [--share 1.0] [--seed 0]

Study files, data sets, pictures and weights, well formed ones changed in one to four places, and
pickles that would run code. Each must be read, or refused in one line; no code may run, nothing may
take over 5 s, and memory may not grow by 1 GB. --share: of the usual number of files. A line a kind
into reports/reliability/fuzz.txt.
"""

from __future__ import annotations

import io
import os
import pickle
import random
import re
import resource
import struct
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from mutations import ARCH, SLOW, damaged
from PIL import Image
from shared import ROOT, Tally

from dnsearch.arch.checkpoint import read_weights
from dnsearch.arch.densenet import DenseNet
from dnsearch.config import DataConfig, StudyConfig, load_study, to_toml
from dnsearch.data.decoding import in_memory
from dnsearch.data.formats import open_source
from dnsearch.data.formats.images import Encoded, Options, decode
from dnsearch.errors import DnsearchError

MOST_MB = 1000

CODE = "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "socket.connect"
"""Events of Python's audit that no file may cause."""

ODD = (
    "nan", "inf", "-1", "0", "1e308", "1e-320", "99999999999999999999", '""', '"\\u0000"', "[]",
    "[[]]", "[[1], []]", "true", "1979-05-27", "{}", '"auto"', '["auto"]', "[1, 2, 3]", "0.5",
    '"densenet121"', "[" * 40 + "]" * 40, "[" * 4000 + "]" * 4000, '"../../etc"', "[1.5, nan]",
)  # fmt: skip
"""Values of TOML that may stand where another one should."""


class Kind(NamedTuple):
    """How many files to try, what they are made from by name, and how they are read."""

    count: int
    seeds: Callable[[], dict[str, bytes]]
    read: Callable[[Path], Any]


class RunsCode:
    """What a hostile pickle holds."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Would be called when it is read."""
        return os.system, ("true",)


def studies() -> dict[str, bytes]:
    """Every key, with comments and without."""
    whole = StudyConfig()
    return {"s.toml": to_toml(whole).encode(), "c.toml": to_toml(whole, comments=True).encode()}


def read_study(path: Path) -> None:
    """As `dnsearch check` begins."""
    load_study(path).space.build(1, 10)


def idx() -> dict[str, bytes]:
    """A small MNIST."""
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    labels = np.arange(30, dtype=np.uint8) % 10
    found = {}
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = struct.pack(">BBBB", 0, 0, 8, array.ndim)
        header += struct.pack(f">{array.ndim}I", *array.shape)
        for split in ("train", "t10k"):
            found[f"{split}-{name}-ubyte"] = header + array.tobytes()
    return found


def cifar() -> dict[str, bytes]:
    """A small CIFAR-10 as pickles."""
    chance = np.random.default_rng(0)

    def batch() -> bytes:
        pixels = chance.integers(0, 256, (12, 3072), dtype=np.uint8)
        return pickle.dumps({"data": pixels, "labels": [i % 10 for i in range(12)]}, protocol=2)

    names = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
    meta = {"label_names": [f"class {n}" for n in range(10)]}
    return {name: batch() for name in names} | {"batches.meta": pickle.dumps(meta, protocol=2)}


def picture(kind: str) -> bytes:
    """A small one in this format."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def pictures() -> dict[str, bytes]:
    """In all usual formats."""
    return {f"p.{kind.lower()}": picture(kind) for kind in ("PNG", "JPEG", "BMP", "GIF", "WEBP")}


def parquet() -> dict[str, bytes]:
    """As Hugging Face writes data sets of pictures."""
    rows = [{"bytes": picture("PNG"), "path": f"{n}.png"} for n in range(12)]
    file = io.BytesIO()
    pq.write_table(pa.table({"image": rows, "label": [n % 3 for n in range(12)]}), file)
    return {"train.parquet": file.getvalue()}


def npz() -> dict[str, bytes]:
    """Compressed and not."""
    chance, found = np.random.default_rng(0), {}
    for name, save in (("a.npz", np.savez), ("b.npz", np.savez_compressed)):
        file = io.BytesIO()
        images = chance.integers(0, 256, (20, 8, 8), dtype=np.uint8)
        save(file, x_train=images, y_train=np.arange(20) % 4)
        found[name] = file.getvalue()
    return found


def checkpoints() -> dict[str, bytes]:
    """Of torch in both its formats, and safetensors."""
    import safetensors.torch

    state, found = DenseNet(ARCH).state_dict(), {}
    for name, new in (("new.pth", True), ("old.pth", False)):
        file = io.BytesIO()
        torch.save({"state_dict": state}, file, _use_new_zipfile_serialization=new)
        found[name] = file.getvalue()
    return found | {"w.safetensors": safetensors.torch.save(dict(state))}


def data_set(kind: str) -> Callable[[Path], Any]:
    """As `dnsearch run` reads it: the folder of the file, or the file."""

    def read(path: Path) -> Any:
        place = path if kind in ("npz", "parquet") else path.parent
        split = open_source(DataConfig(format=kind, path=place)).open("train")
        return in_memory(split), split.labels

    return read


KINDS = {
    "study files": Kind(10_000, studies, read_study),
    "IDX": Kind(5000, idx, data_set("mnist")),
    "CIFAR pickles": Kind(3000, cifar, data_set("cifar10")),
    "parquet": Kind(2000, parquet, data_set("parquet")),
    "images": Kind(2000, pictures, lambda path: decode(Encoded(str(path), path), Options())),
    "npz": Kind(2000, npz, data_set("npz")),
    "checkpoints": Kind(2000, checkpoints, read_weights),
}


def changed(kind: str, content: bytes, chance: random.Random) -> bytes:
    """One to four changes, of a study also other values, of pickles also ones that run code."""
    if kind in ("CIFAR pickles", "checkpoints") and chance.random() < 0.05:
        return pickle.dumps({"state_dict": RunsCode()}, protocol=2)
    for _ in range(chance.choice((1, 1, 2, 4))):
        if kind == "study files" and chance.random() < 0.7:
            text = content.decode("utf-8", "replace")
            values = [*re.finditer(r"(?m)^(?:# )?(\w+) = ?.*$", text)]
            if values:
                own = chance.choice(values)
                odd = f"{own[1]} = {chance.choice(ODD)}"
                content = (text[: own.start()] + odd + text[own.end() :]).encode()
                continue
        if content:
            content = damaged(content, chance)[1]
    return content


def peak_mb() -> float:
    """The most memory that this process has used."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Watch:
    """Keeps what the audit saw since it was asked last."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        sys.addaudithook(lambda event, _: self.seen.append(event) if event in CODE else None)

    def take(self) -> list[str]:
        """The events, each told once."""
        seen, self.seen = self.seen, []
        return seen


def fuzz(name: str, count: int, seed: int, watch: Watch) -> tuple[Counter[str], list[str]]:
    """So many files of a kind: how many were read and refused, and what must not have been."""
    kind, chance = KINDS[name], random.Random(f"{name} {seed}")
    found, wrong = Counter[str](), list[str]()
    with tempfile.TemporaryDirectory() as place:
        seeds = kind.seeds()
        for file, content in seeds.items():
            Path(place, file).write_bytes(content)
        kind.read(Path(place, next(iter(seeds))))  # else nothing is tried
        watch.take()
        before = peak_mb()
        for number in range(count):
            file = chance.choice([*seeds])
            path = Path(place, file)
            path.write_bytes(changed(name, seeds[file], chance))
            told = outcome(kind.read, path, watch)
            found[told] += 1
            if told not in ("read", "refused"):
                wrong.append(f"{name}, {number}, {file}: {told}"[:300])
            path.write_bytes(seeds[file])
        if peak_mb() - before > MOST_MB:
            wrong.append(f"memory grew by {peak_mb() - before:.0f} MB")
    return found, wrong


def outcome(read: Callable[[Path], Any], path: Path, watch: Watch) -> str:
    """What comes of reading a file."""
    started = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read(path)
        told = "read"
    except DnsearchError as error:
        told = "refused" if "\n" not in str(error) else f"more than a line: {error}"
    except Exception as error:
        told = f"traceback: {type(error).__name__}: {error}"
    if seen := watch.take():
        return f"code run: {seen}"
    return "slow" if time.process_time() - started > SLOW else told


def main(words: Sequence[str]) -> int:
    """Tries all kinds, or those named, and tells."""
    share = float(words[words.index("--share") + 1]) if "--share" in words else 1.0
    seed = int(words[words.index("--seed") + 1]) if "--seed" in words else 0
    chosen = [name for name in words if name in KINDS] or [*KINDS]
    file = ROOT / "reports/reliability/fuzz.txt" if len(chosen) == len(KINDS) else None
    tally, watch = Tally(file), Watch()
    for name in chosen:
        count = round(share * KINDS[name].count)
        found, wrong = fuzz(name, count, seed, watch)
        figures = f"{found['read']} read, {found['refused']} refused"
        tally.note(f"{count} {name}", wrong[:5], figures)
        for line in wrong[5:25] if len(chosen) == 1 else ():
            print(line)
    return tally.total()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
