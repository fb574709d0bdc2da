"""The Triton kernels of ``arch.kernels.triton``; importing this module needs Triton.

Each program takes a tile of rows (pixels, channels); strides are those between rows. weight, bias,
mean, var and eps are a norm's, w is the weight of a 1x1 convolution. P and C are the rows and
columns of a tile, K the channels that a product sums over at a time. All but the factors of
products is computed in 32 bits or more.

``room`` is how many columns of a row may be read, and written where the tensor is the kernel's own:
the channels, or the next multiple of 16, by which the compiler knows that a thread can move 16
bytes at a time. What is read past the last channel may be anything; what is left there is 0 where
another operation reads it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from triton import jit as typed_jit  # pyright: ignore
from triton import language as tl  # pyright: ignore

jit: Any = typed_jit  # by whose types a kernel cannot call another

# What is different in each network and little read is not compiled for: a search would wait for
# hundreds of variants.
_COUNTS = ["pixels", "channels", "outputs", "windows", "tiles", "expected_stride"]
_VECTORS = ["sums", "weight", "bias", "mean", "var", "plus", "expected", "out"]
_kernel = partial(jit, do_not_specialize=_COUNTS, do_not_specialize_on_alignment=_VECTORS)

# ---------------------------------------------------------------- what kernels share


@jit
def _place(columns, P: tl.constexpr, C: tl.constexpr):
    """This program's tile: its number from the top, its rows, its columns."""
    across = tl.cdiv(columns, C)  # programs side by side read the same rows, once from memory
    down = tl.program_id(0) // across
    return down, down * P + tl.arange(0, P), tl.program_id(0) % across * C + tl.arange(0, C)


@jit
def _inside(row, column, rows, columns):
    return (row < rows)[:, None] & (column < columns)[None, :]


@jit
def _at(x, row, stride, column):
    return x + row.to(tl.int64)[:, None] * stride + column[None, :]


@jit
def _load(x, row, stride, column, rows, columns):
    return tl.load(_at(x, row, stride, column), mask=_inside(row, column, rows, columns), other=0.0)


@jit
def _relu(x):
    return tl.where(x < 0, 0.0, x)  # a maximum would lose NaN


@jit
def _norm(weight, bias, mean, var, eps, c, channels):
    """Mean, 1 / std, scale and bias of channels c of a norm; past the last one, such that y = 0."""
    inside = c < channels
    rstd = 1 / tl.sqrt(tl.load(var + c, mask=inside, other=1.0) + eps)
    scale = tl.load(weight + c, mask=inside, other=0.0) * rstd
    bias = tl.load(bias + c, mask=inside, other=0.0)
    return tl.load(mean + c, mask=inside, other=0.0), rstd, scale, bias


@jit
def _leave(sums, down, tiles, c, channels, first, second):
    """Stores a tile's two sums in ``sums``, (2, channels, tiles)."""
    sums += c * tiles + down
    tl.store(sums, first, mask=c < channels)
    tl.store(sums + channels * tiles, second, mask=c < channels)


@jit
def _leave_moments(sums, down, p, c, x, pixels, channels, P: tl.constexpr):
    """Stores the sum of a tile's x (0 past the last pixel) and the sum of squares about the tile's
    own mean, since E[x^2] - E[x]^2 would lose too much in 32 bits."""
    count = tl.minimum(pixels - down * P, P)
    first = tl.sum(x, 0)
    apart = tl.where(_inside(p, c, pixels, channels), x - (first / count)[None, :], 0.0)
    _leave(sums, down, tl.cdiv(pixels, P), c, channels, first, tl.sum(apart * apart, 0))


@jit
def _through(
    dy, x, dx, sums, down, tiles, p, c, weight, bias, mean, var, eps, pixels, channels, room,
    stride, dx_stride, ADD: tl.constexpr,
):  # fmt: skip
    """From a tile's dy (0 past the last pixel) back through ReLU and norm: dx and sums."""
    mean, rstd, scale, bias = _norm(weight, bias, mean, var, eps, c, channels)
    x = _load(x, p, stride, c, pixels, room).to(tl.float32) - mean
    g = tl.where(x * scale + bias <= 0, 0.0, dy)
    _leave(sums, down, tiles, c, channels, tl.sum(g, 0), tl.sum(g * x, 0) * rstd)
    g *= scale
    if ADD:
        g += _load(dx, p, dx_stride, c, pixels, room)
    tl.store(_at(dx, p, dx_stride, c), g, mask=_inside(p, c, pixels, room))


# ---------------------------------------------------------------- kernels


@_kernel()
def statistics(
    x, copy, sums, pixels, channels, room, stride, copy_stride, P: tl.constexpr, C: tl.constexpr
):
    """The moments of each tile of x, which ``moments`` joins; also copies x."""
    down, p, c = _place(channels, P, C)
    x = _load(x, p, stride, c, pixels, room)
    inside = _inside(p, c, pixels, channels)
    if copy is not None:
        tl.store(_at(copy, p, copy_stride, c), x, mask=inside)
    _leave_moments(sums, down, p, c, tl.where(inside, x, 0.0).to(tl.float32), pixels, channels, P)


@_kernel()
def moments(sums, out, tiles, pixels, P: tl.constexpr, T: tl.constexpr):
    """Mean and variance of a channel from the moments of all tiles of P rows (Chan, Golub, LeVeque
    1983), in float64: rounding of a tile's sum cancels between its two uses."""
    c, channels = tl.program_id(0), tl.num_programs(0)
    first = tl.zeros((T,), tl.float64)
    second = tl.zeros((T,), tl.float64)
    for start in range(0, tiles, T):
        t = start + tl.arange(0, T)
        count = tl.maximum(tl.minimum(pixels - t * P, P), 1)
        x = tl.load(sums + c * tiles + t, mask=t < tiles, other=0.0).to(tl.float64)
        squares = tl.load(sums + (channels + c) * tiles + t, mask=t < tiles, other=0.0)
        first += x
        second += squares.to(tl.float64) + x * x / count
    mean = tl.sum(first, 0) / pixels
    tl.store(out + c, mean)
    tl.store(out + channels + c, _relu(tl.sum(second, 0) / pixels - mean * mean))


@_kernel()
def total(
    sums, out, expected, weight, var, eps, share, tiles, expected_stride, ADD: tl.constexpr,
    T: tl.constexpr,
):  # fmt: skip
    """A channel's sums over all tiles; ``expected`` is set to their part, or has it added (ADD)."""
    c, channels = tl.program_id(0), tl.num_programs(0)
    firsts = tl.zeros((T,), tl.float32)
    seconds = tl.zeros((T,), tl.float32)
    for start in range(0, tiles, T):
        t = start + tl.arange(0, T)
        firsts += tl.load(sums + c * tiles + t, mask=t < tiles, other=0.0)
        seconds += tl.load(sums + (channels + c) * tiles + t, mask=t < tiles, other=0.0)
    first, second = tl.sum(firsts, 0), tl.sum(seconds, 0)
    tl.store(out + c, first)
    tl.store(out + channels + c, second)
    rstd = 1 / tl.sqrt(tl.load(var + c) + eps)
    scale = tl.load(weight + c) * rstd * share
    first *= scale
    second *= scale * rstd
    if ADD:
        first += tl.load(expected + c)
        second += tl.load(expected + expected_stride + c)
    tl.store(expected + c, first)
    tl.store(expected + expected_stride + c, second)


@_kernel()
def whole(
    dx, x, whole, mean, expected, pixels, channels, room, out_room, stride, dx_stride, out_stride,
    expected_stride, P: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """The finished gradient, dx - expected[0] - (x - mean) expected[1], 0 past the last channel."""
    _, p, c = _place(out_room, P, C)
    inside = c < channels
    first = tl.load(expected + c, mask=inside)
    second = tl.load(expected + expected_stride + c, mask=inside)
    x = _load(x, p, stride, c, pixels, room) - tl.load(mean + c, mask=inside)
    dx = _load(dx, p, dx_stride, c, pixels, room) - first - x * second
    dx = tl.where(inside[None, :], dx, 0.0)
    tl.store(_at(whole, p, out_stride, c), dx, mask=_inside(p, c, pixels, out_room))


@_kernel()
def pool(
    x, y, weight, bias, mean, var, eps, windows, channels, room, y_room, stride, y_stride, height,
    width, window_height, window_width, P: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Means of relu(norm(x)) over windows side by side, 0 past the last channel."""
    _, w, c = _place(y_room, P, C)
    mean, _, scale, bias = _norm(weight, bias, mean, var, eps, c, channels)
    inside = _inside(w, c, windows, room)
    down, across = height // window_height, width // window_width
    top = w // (down * across) * height + w // across % down * window_height
    total = tl.zeros((P, C), tl.float32)
    for i in range(window_height):
        for j in range(window_width):
            p = (top + i) * width + w % across * window_width + j
            value = tl.load(_at(x, p, stride, c), mask=inside, other=0.0).to(tl.float32)
            total += _relu((value - mean) * scale + bias)
    total = tl.where((c < channels)[None, :], total / (window_height * window_width), 0.0)
    tl.store(_at(y, w, y_stride, c), total, mask=_inside(w, c, windows, y_room))


@_kernel()
def pool_backward(
    dy, x, dx, sums, weight, bias, mean, var, eps, pixels, channels, room, dy_stride, stride,
    dx_stride, height, width, window_height, window_width,
    ADD: tl.constexpr, P: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """dx, which is set or added to (ADD), and sums, from the gradient of the windows' means."""
    place, p, c = _place(channels, P, C)
    down, across = height // window_height, width // window_width
    i, j = p // width % height // window_height, p % width // window_width
    w = (p // (height * width) * down + i) * across + j
    inside = ((p < pixels) & (i < down) & (j < across))[:, None] & (c < room)[None, :]
    dy = tl.load(_at(dy, w, dy_stride, c), mask=inside, other=0.0).to(tl.float32)
    dy /= window_height * window_width
    _through(
        dy, x, dx, sums, place, tl.cdiv(pixels, P), p, c, weight, bias, mean, var, eps, pixels,
        channels, room, stride, dx_stride, ADD,
    )  # fmt: skip


@_kernel()
def product(
    x, w, z, sums, plus, weight, bias, mean, var, eps, pixels, channels, outputs, room, w_room,
    z_room, stride, w_stride, z_stride,
    P: tl.constexpr, C: tl.constexpr, K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """z = relu(norm(x)) w^T and its moments; if ``plus`` is given, relu(z + plus) alone."""
    down, p, o = _place(z_room, P, C)
    total = tl.zeros((P, C), tl.float32)
    for k in range(0, channels, K):
        c = k + tl.arange(0, K)
        inside = (c < channels)[None, :]
        m, _, scale, b = _norm(weight, bias, mean, var, eps, c, channels)
        y = (_load(x, p, stride, c, pixels, room).to(tl.float32) - m) * scale + b
        rows = tl.where(inside, _load(w, o, w_stride, c, outputs, w_room), 0.0)
        y = tl.where(inside, _relu(y), 0.0).to(rows.dtype)
        total = tl.dot(y, tl.trans(rows), total, input_precision=PRECISION)
    kept = _inside(p, o, pixels, z_room)
    if plus is not None:
        total += tl.load(plus + o, mask=o < outputs, other=0.0)
        tl.store(_at(z, p, z_stride, o), _relu(total), mask=kept)
    else:
        rounded = total.to(z.dtype.element_ty)
        tl.store(_at(z, p, z_stride, o), rounded, mask=kept)
        rounded = tl.where(_inside(p, o, pixels, outputs), rounded.to(tl.float32), 0.0)
        _leave_moments(sums, down, p, o, rounded, pixels, outputs, P)


@_kernel()
def product_backward(
    dz, w, x, dx, sums, weight, bias, mean, var, eps, pixels, channels, outputs, room, w_room,
    dz_room, stride, w_stride, dz_stride, dx_stride,
    P: tl.constexpr, C: tl.constexpr, K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Adds to dx the gradient through dy = dz w, and stores its sums."""
    down, p, c = _place(channels, P, C)
    dy = tl.zeros((P, C), tl.float32)
    for k in range(0, outputs, K):
        o = k + tl.arange(0, K)
        part = _load(dz, p, dz_stride, o, pixels, dz_room)
        rows = _load(w, o, w_stride, c, outputs, w_room)
        dy = tl.dot(part, rows, dy, input_precision=PRECISION)
    _through(
        dy, x, dx, sums, down, tl.cdiv(pixels, P), p, c, weight, bias, mean, var, eps, pixels,
        channels, room, stride, dx_stride, True,
    )  # fmt: skip


@_kernel()
def product_weight(
    dz, x, out, weight, bias, mean, var, eps, pixels, channels, outputs, room, dz_room, stride,
    dz_stride, P: tl.constexpr, C: tl.constexpr, K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """dz^T y over this program's share of the pixels, with y = relu(norm(x))."""
    _, o, c = _place(channels, P, C)
    mean, _, scale, bias = _norm(weight, bias, mean, var, eps, c, channels)
    part = tl.program_id(1)
    share = tl.cdiv(tl.cdiv(pixels, K), tl.num_programs(1)) * K
    total = tl.zeros((P, C), tl.float32)
    for start in range(part * share, tl.minimum(part * share + share, pixels), K):
        p = start + tl.arange(0, K)
        y = (_load(x, p, stride, c, pixels, room).to(tl.float32) - mean) * scale + bias
        rows = _load(dz, p, dz_stride, o, pixels, dz_room)
        y = _relu(y).to(rows.dtype)
        total = tl.dot(tl.trans(rows), y, total, input_precision=PRECISION)
    out += part.to(tl.int64) * outputs * channels
    tl.store(_at(out, o, channels, c), total, mask=_inside(o, c, outputs, channels))
