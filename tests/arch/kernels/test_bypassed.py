"""Whoever changes a network or looks at its modules gets what the plain modules give, whatever
kernels were asked for; and where nothing stands in the way the kernels do run."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations, weight_norm
from torch.optim.swa_utils import AveragedModel
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from dnsearch.arch import ArchConfig, DenseNet
from dnsearch.arch.kernels import cpu, portable

SMALL = ArchConfig(
    growth_rate=4, block_config=(2, 1), num_init_features=6, stem="cifar", num_classes=5
)
UNLIKE = SMALL.replace(
    growth_rate=(4, 7, 2), block_config=(2, 1, 1), bn_size=(0, 4, 2), transition=("narrow", "pool")
)
WAYS = ["portable", "cpu"]


def make(kernels, training=False, config=SMALL):
    torch.manual_seed(0)
    model = DenseNet(config)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 0.3)
    model.kernels = kernels
    model.train(training)
    return model


def is_conv(module):
    return isinstance(module, nn.Conv2d)


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


IMAGES = draw(2, 3, 16, 16)


def layer(model):
    return model.features.denseblock1.denselayer1


class LowRank(nn.Module):
    """As adapters do (Hu et al. 2021, arXiv:2106.09685): a layer with a small change beside it."""

    def __init__(self, base):
        super().__init__()
        self.base, self.change = base, nn.Conv2d(base.in_channels, base.out_channels, 1)

    def forward(self, x):
        return self.base(x) + self.change(x)


def head_of_two_layers(model):
    model.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(model.classifier.in_features, 3))


def no_head(model):
    model.classifier = nn.Identity()


def own_forward(model):
    layer(model).conv1.forward = lambda x: x.mean(1, keepdim=True).expand(-1, 16, -1, -1) * 2


def normed_weights(model):
    weight_norm(layer(model).conv2)


def adapter(model):
    layer(model).conv1 = LowRank(layer(model).conv1)


def parametrised_adapter(model):
    parametrizations.orthogonal(layer(model).conv1)


def group_norm(model):
    layer(model).norm2 = nn.GroupNorm(4, 16)


def pre_hook(model):
    layer(model).norm1.register_forward_pre_hook(lambda module, args: (2 * args[0],))


def backward_pre_hook(model):
    layer(model).conv2.register_full_backward_pre_hook(lambda module, grads: (2 * grads[0],))


def frozen_norms(model):
    model.features.denseblock1.eval()
    model.features.denseblock1.requires_grad_(False)


def compiled_part(model):
    block = model.features.denseblock1
    model.features.denseblock1 = nn.Sequential(block)  # as any wrapper


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kernels", WAYS)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        head_of_two_layers, no_head, own_forward, normed_weights, adapter,
        parametrised_adapter, group_norm, pre_hook, backward_pre_hook, frozen_norms, compiled_part,
    ],
)  # fmt: skip
def test_changed_networks(change, training, kernels):
    found = []
    for way in ("reference", kernels):
        torch.manual_seed(2)
        model = make(way, training)
        model = change(model) or model
        images = IMAGES.clone().requires_grad_()
        with torch.no_grad():  # the way of inference too
            quiet = model(images)
        out = model(images)
        out.square().sum().backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        found.append([quiet, out, images.grad, *grads, *model.buffers()])
    expected, got = found
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kernels", WAYS)
def test_a_class_that_was_given_another_forward(kernels, monkeypatch):
    expected = make(kernels)(IMAGES)

    def forward(self, x):
        return 2 * nn.functional.conv2d(x, self.weight, None, self.stride, self.padding)

    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    with torch.no_grad():
        torch.testing.assert_close(make(kernels)(IMAGES), make("reference")(IMAGES))
        assert not torch.allclose(make(kernels)(IMAGES), expected)


@pytest.mark.parametrize("kernels", WAYS)
def test_types_that_do_not_go_together_are_torchs_error(kernels):
    model = make(kernels)
    model.features.denseblock1.double()
    with torch.no_grad(), pytest.raises(RuntimeError, match="type"):
        model(IMAGES)


@pytest.mark.parametrize("kernels", WAYS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types(kernels, dtype):
    with torch.no_grad():
        expected, found = (make(k).to(dtype)(IMAGES.to(dtype)) for k in ("reference", kernels))
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


def traced(model):
    return torch.jit.trace(model, IMAGES)


def scripted(model):
    return torch.jit.script(model)


def symbolically_traced(model):
    return torch.fx.symbolic_trace(model)


def exported(model):
    n, side = torch.export.Dim("n"), torch.export.Dim.AUTO
    shapes = {"images": {0: n, 2: side, 3: side}}
    return torch.export.export(model, (IMAGES,), dynamic_shapes=shapes).module()


def exported_strictly(model):
    shapes = {"images": {0: torch.export.Dim("n")}}
    return torch.export.export(model, (IMAGES,), dynamic_shapes=shapes, strict=True).module()


def compiled(model):
    return torch.compile(model, backend="eager", fullgraph=True)


def made_fx(model):
    return make_fx(model)(draw(3, 3, 16, 16))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kernels", "config"), [("portable", SMALL), ("cpu", SMALL), ("cpu", UNLIKE)]
)
@pytest.mark.parametrize(
    "record",
    [traced, scripted, symbolically_traced, exported, exported_strictly, compiled, made_fx],
)
def test_recorded_networks_hold_the_modules(record, kernels, config):
    """They give the same for other images, and of another number where the record allows it."""
    reference, more = make("reference", config=config), draw(3, 3, 16, 16)
    with torch.no_grad():
        program = record(make(kernels, config=config))
        torch.testing.assert_close(program(more), reference(more), rtol=1e-4, atol=1e-5)
    if record is not compiled:
        graph = program.inlined_graph if record in (traced, scripted) else program.graph
        assert str(graph).count("conv") >= len([m for m in reference.modules() if is_conv(m)])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kernels", WAYS)
@pytest.mark.parametrize("dynamo", [False, True])
def test_onnx(kernels, dynamo):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    torch.onnx.export(make(kernels), (IMAGES,), io.BytesIO(), dynamo=dynamo)


def gradients(model):
    parameters = dict(model.named_parameters())
    return grad(lambda p: functional_call(model, p, (IMAGES,)).square().sum())(parameters)


def gradient_of_each_image(model):
    return vmap(grad(lambda image: model(image[None]).square().sum()))(IMAGES)


def forward_mode(model):
    return jvp(model, (IMAGES,), (torch.ones_like(IMAGES),))


def dual_numbers(model):
    forward_ad = torch.autograd.forward_ad
    with forward_ad.dual_level():
        out = model(forward_ad.make_dual(IMAGES, torch.ones_like(IMAGES)))
        return forward_ad.unpack_dual(out).tangent


def counted_operations(model):
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(IMAGES)
    return torch.tensor(counter.get_total_flops())


def global_hook(model):
    called = []
    handle = register_module_forward_hook(lambda module, args, out: called.append(module))
    try:
        with torch.no_grad():
            model(IMAGES)
    finally:
        handle.remove()
    return torch.tensor(len(called))


def with_autocast(model):
    with torch.autocast("cpu", torch.bfloat16):
        return model(IMAGES).float()


def inference_mode(model):
    with torch.inference_mode():
        return model(IMAGES).clone()


def recomputed(model):
    checkpoint(model.train(), IMAGES, use_reentrant=False).square().sum().backward()
    return [parameter.grad for parameter in model.parameters()]


def quantised_head(model):
    with torch.no_grad():
        return torch.ao.quantization.quantize_dynamic(model, {nn.Linear})(IMAGES)


def channels_last(model):
    images = IMAGES.to(memory_format=torch.channels_last)
    return model.to(memory_format=torch.channels_last)(images)


def in_parallel(model):
    return nn.DataParallel(model)(IMAGES)


def averaged(model):
    return AveragedModel(model)(IMAGES)


def copied(model):
    return copy.deepcopy(model)(IMAGES)


def pickled(model):
    return pickle.loads(pickle.dumps(model))(IMAGES)


def subclass(model):
    class Named(torch.Tensor):
        pass

    return model(IMAGES.as_subclass(Named)).as_subclass(torch.Tensor)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kernels", WAYS)
@pytest.mark.parametrize(
    "use",
    [
        gradients, gradient_of_each_image, forward_mode, dual_numbers, counted_operations,
        global_hook, with_autocast, inference_mode, recomputed, quantised_head, channels_last,
        in_parallel, averaged, copied, pickled, subclass,
    ],
)  # fmt: skip
def test_other_ways_to_call_it(use, kernels):
    loose = 0.1 if use is with_autocast else 1e-3
    expected = use(make("reference"))
    torch.testing.assert_close(use(make(kernels)), expected, rtol=loose, atol=loose)


def test_they_do_run_where_nothing_stands_in_the_way():
    for training in (True, False):
        with torch.set_grad_enabled(training):
            assert portable.supports(make("portable", training), IMAGES)
            if cpu.available(IMAGES.dtype):
                assert cpu.supports(make("cpu", training), IMAGES)
