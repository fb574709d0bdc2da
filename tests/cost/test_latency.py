"""Latency predicted: from work counted on the built modules, on machines whose times are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from dnsearch.arch import ArchConfig, DenseNet
from dnsearch.arch.config import ArchArrays
from dnsearch.arch.plain import DenseBlock, DenseLayer
from dnsearch.cost.latency import LEAST, WORK, HeldOut, LatencyModel, Setting, stage_work, work

SETTING = Setting("cpu", 1, 2, "fp32", "reference")
SIDE = 32
ARCHS = [
    ArchConfig(4, (1, 2), 8, 4, stem="cifar", in_channels=1, num_classes=3),
    ArchConfig((4, 9), (3, 1), 10, (0, 2), stem="patch2", num_classes=10),
    ArchConfig(6, (2, 3, 1), 12, 4, norm="group", num_classes=7),
    ArchConfig((5, 17, 20), (1, 2, 2), 33, 1, 1.0, stem="patch4", transition=("narrow", "pool")),
    ArchConfig(16, (4,), 16, 0, stem="cifar", num_classes=10),
]
TIMES = np.array([0.01, 0.03, 0.8, 12.0, 20.0, 0.5])


def counted(arch: ArchConfig, batch_size: int) -> dict[str, float]:
    """The work of a forward pass as hooks on the built network's modules see it."""
    found = dict.fromkeys(WORK, 0.0)

    def up(channels):
        return 16 * -(-channels // 16)

    def see(module, inputs, output):
        if isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
            found["norms"] += 1
            found["moved"] += inputs[0].numel() / 1e6
        elif isinstance(module, nn.Conv2d):
            kernel = module.weight[0, 0].numel()
            pixels = output.numel() / module.out_channels
            macs = module.in_channels * up(module.out_channels) * kernel * pixels / 1e9
            found["macs_1x1" if kernel == 1 else "macs_3x3"] += macs
        elif isinstance(module, nn.Linear):
            found["macs_1x1"] += len(inputs[0]) * module.weight.numel() / 1e9
        elif isinstance(module, DenseLayer):  # it joins all maps before it
            found["joins"] += 1
            found["moved"] += sum(maps.numel() for maps in inputs[0]) / 1e6
        elif isinstance(module, DenseBlock):
            found["joins"] += 1
            found["moved"] += output.numel() / 1e6

    model = DenseNet(arch).eval()
    found["weights"] = sum(p.numel() for p in model.parameters()) / 1e6
    for module in model.modules():
        module.register_forward_hook(see)
    with torch.no_grad():
        model(torch.zeros(batch_size, arch.in_channels, SIDE, SIDE))
    return found


def works(count: int, seed: int = 0) -> np.ndarray:
    """The work of so many random networks, (n, kinds)."""
    rng = np.random.default_rng(seed)
    archs = [
        ArchConfig(
            int(rng.integers(4, 40)),
            tuple(rng.integers(1, 8, rng.integers(1, 4)).tolist()),
            int(rng.integers(8, 64)),
            int(rng.choice([0, 2, 4])),
            stem=str(rng.choice(["cifar", "patch2"])),
            num_classes=10,
        )
        for _ in range(count)
    ]
    return work(ArchArrays.of(archs), SIDE, SIDE, SETTING.batch_size)


def random_networks(count: int) -> tuple[list[ArchConfig], np.ndarray]:
    rng = np.random.default_rng(1)
    archs = [
        ArchConfig(int(k), (int(a), int(b)), int(c), int(m), stem="cifar", num_classes=10)
        for k, a, b, c, m in zip(
            rng.integers(4, 40, count), rng.integers(1, 9, count), rng.integers(1, 9, count),
            rng.integers(8, 64, count), rng.choice([0, 2, 4], count), strict=True,
        )
    ]  # fmt: skip
    return archs, work(ArchArrays.of(archs), SIDE, SIDE, SETTING.batch_size) @ TIMES


@pytest.mark.parametrize("batch_size", [1, 3])
def test_work_is_what_the_modules_do(batch_size):
    together = work(ArchArrays.of(ARCHS), SIDE, SIDE, batch_size)
    for arch, row in zip(ARCHS, together, strict=True):
        expected = counted(arch, batch_size)
        assert dict(zip(WORK, row, strict=True)) == pytest.approx(expected), arch.describe()


def test_a_machine_that_is_a_sum_of_work_is_found_again():
    archs, ms = random_networks(40)
    sizes = [(SIDE, SIDE)] * 40
    model = LatencyModel.fitted(SETTING, archs, sizes, ms.tolist())
    assert model.times == pytest.approx(TIMES, rel=1e-6)
    assert model.error < 1e-6
    assert model.networks == 40
    assert not model.is_guess


def test_noise_and_outliers_move_it_little():
    archs, ms = random_networks(60)
    rng = np.random.default_rng(2)
    noisy = ms * np.exp(rng.normal(0, 0.03, 60))
    noisy[::10] *= 4  # another process had the core
    model = LatencyModel.fitted(SETTING, archs, [(SIDE, SIDE)] * 60, noisy.tolist())
    fresh = works(50, seed=3)
    assert np.abs(model.predicted_ms(fresh) / (fresh @ TIMES) - 1).max() < 0.1
    assert 0.02 < model.error < 0.08  # the noise, not the outliers
    assert model.margin == pytest.approx(np.exp(3 * model.error))


def test_a_run_corrects_what_it_begins_with():
    """A machine that is 2.5 times as slow as its table, and slower still at 3x3 convolutions."""
    model = LatencyModel(SETTING, tuple(TIMES), networks=50, error=0.1)
    true = TIMES * 2.5 * np.array([1, 1, 1, 1, 1.3, 1])
    done, fresh = works(12), works(40, seed=5)
    before, wide = model.given(done[:0], np.empty(0)).predict(fresh)
    after, narrow = model.given(done, done @ true).predict(fresh)
    truth = np.log(fresh @ true)
    assert np.exp(before) == pytest.approx(fresh @ TIMES)
    assert np.abs(after - truth).max() < 0.06
    assert (narrow < wide / 2).all()
    assert np.mean(np.abs(after - truth) < 2 * narrow) > 0.9


def test_a_guess_learns_any_machine_from_a_few_networks():
    true = np.array([0.1, 0.02, 0.1, 1.0, 2.0, 0.1])  # mostly launching, as a GPU is
    done, fresh = works(16), works(40, seed=5)
    mean, _ = LatencyModel(SETTING).given(done, done @ true).predict(fresh)
    assert np.median(np.abs(np.exp(mean) / (fresh @ true) - 1)) < 0.05


def test_a_measurement_far_off_counts_little():
    model = LatencyModel(SETTING, tuple(TIMES), networks=50, error=0.1)
    done, fresh = works(12), works(40, seed=5)
    ms = done @ TIMES
    ms[3] *= 10
    mean, _ = model.given(done, ms).predict(fresh)
    assert np.abs(mean - np.log(fresh @ TIMES)).max() < 0.05


def test_held_out_networks_are_predicted_from_the_others_alone():
    model = LatencyModel(SETTING, tuple(TIMES), networks=50, error=0.2)
    done = works(LEAST + 1)
    ms = done @ TIMES * np.exp(np.random.default_rng(6).normal(0, 0.2, len(done)))
    predicted = []
    for i in range(len(ms)):
        others = np.arange(len(ms)) != i
        mean, _ = model.given(done[others], ms[others]).predict(done[[i]])
        predicted.append(np.exp(mean[0]))
    found = model.held_out(done, ms)
    assert found.networks == len(ms)
    assert found.median_error == pytest.approx(np.median(np.abs(np.array(predicted) / ms - 1)))
    assert found.rank_correlation == pytest.approx(spearmanr(predicted, ms)[0])
    assert model.held_out(done[: LEAST - 1], ms[: LEAST - 1]) is None


def test_figures_of_predictions_by_hand():
    found = HeldOut.of(np.array([1.1, 2.0, 3.0, 8.0]), np.array([1.0, 2.0, 4.0, 4.0001]))
    assert found.median_error == pytest.approx((0.1 + 0.25) / 2)
    assert found.rank_correlation == pytest.approx(1.0)
    assert found.deviation == pytest.approx(1.4826 * (np.log(1.1) + np.log(4 / 3)) / 2)


def test_a_setting_is_told_in_words():
    assert str(SETTING) == "2 images, fp32, torch's own modules, cpu, 1 thread"
    on_gpu = Setting("cuda", 4, 1, "bf16", "triton")
    assert str(on_gpu) == "1 image, bf16, triton kernels, cuda"


def test_stages_add_up_to_the_network_and_have_the_work_of_their_layers():
    archs = ArchArrays.of(ARCHS)
    stages = dict(stage_work(archs, SIDE, SIDE, 2))
    np.testing.assert_allclose(sum(stages.values()), work(archs, SIDE, SIDE, 2))
    model = DenseNet(ARCHS[0])
    for name in ("denseblock1", "transition1", "denseblock2"):
        layers = getattr(model.features, name)
        own = sum(p.numel() for p in layers.parameters()) / 1e6
        assert stages[name][0, WORK.index("weights")] == pytest.approx(own)
    assert stages["denseblock3"][0].sum() == 0  # it has two blocks


def test_shares_of_the_stages_are_those_of_their_times():
    archs = ArchArrays.of(ARCHS)
    model = LatencyModel(SETTING, tuple(TIMES))
    shares = model.stage_shares(archs, SIDE, SIDE)
    whole = work(archs, SIDE, SIDE, SETTING.batch_size) @ TIMES
    for name, done in stage_work(archs, SIDE, SIDE, SETTING.batch_size):
        np.testing.assert_allclose(shares[name] * whole, done @ TIMES)
