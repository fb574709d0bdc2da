"""The Triton kernels of ``arch.kernels.triton``; importing this module needs Triton.

Each program takes a tile of rows (pixels, channels); strides are those between rows. weight, bias,
mean, var and eps are a norm's, w is the weight of a 1x1 convolution. P and C are the rows and
columns of a tile, K the channels that a product sums over at a time. All but the factors of
products is computed in 32 bits or more.
"""

from __future__ import annotations

from triton import jit  # pyright: ignore
from triton import language as tl  # pyright: ignore

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
def _leave(sums, down, c, channels, first, second):
    """Stores a tile's two sums in ``sums``, (tiles, 2, channels)."""
    sums += down * 2 * channels + c
    tl.store(sums, first, mask=c < channels)
    tl.store(sums + channels, second, mask=c < channels)


@jit
def _leave_moments(sums, down, p, c, x, pixels, channels, P: tl.constexpr):
    """Stores the sum of a tile's x (0 past the last pixel) and the sum of squares about the tile's
    own mean, since E[x^2] - E[x]^2 would lose too much in 32 bits."""
    count = tl.minimum(pixels - down * P, P)
    first = tl.sum(x, 0)
    apart = tl.where(_inside(p, c, pixels, channels), x - (first / count)[None, :], 0.0)
    _leave(sums, down, c, channels, first, tl.sum(apart * apart, 0))


@jit
def _through(
    dy, x, dx, sums, down, p, c, weight, bias, mean, var, eps, pixels, channels, stride, dx_stride,
    ADD: tl.constexpr,
):  # fmt: skip
    """From a tile's dy (0 past the last pixel) back through ReLU and norm: dx and sums."""
    mean, rstd, scale, bias = _norm(weight, bias, mean, var, eps, c, channels)
    x = _load(x, p, stride, c, pixels, channels).to(tl.float32) - mean
    g = tl.where(x * scale + bias <= 0, 0.0, dy)
    _leave(sums, down, c, channels, tl.sum(g, 0), tl.sum(g * x, 0) * rstd)
    g *= scale
    if ADD:
        g += _load(dx, p, dx_stride, c, pixels, channels)
    tl.store(_at(dx, p, dx_stride, c), g, mask=_inside(p, c, pixels, channels))


# ---------------------------------------------------------------- kernels


@jit
def statistics(x, sums, pixels, channels, stride, P: tl.constexpr, C: tl.constexpr):
    """The moments of each tile of x; ``moments`` joins them."""
    down, p, c = _place(channels, P, C)
    x = _load(x, p, stride, c, pixels, channels).to(tl.float32)
    _leave_moments(sums, down, p, c, x, pixels, channels, P)


@jit
def moments(sums, out, tiles, channels, pixels, P: tl.constexpr, T: tl.constexpr, C: tl.constexpr):
    """Mean and variance from the moments of all tiles of P rows (Chan, Golub, LeVeque 1983)."""
    c = tl.program_id(0) * C + tl.arange(0, C)
    first = tl.zeros((C,), tl.float64)
    for tile in range(0, tiles, T):
        t = tile + tl.arange(0, T)
        first += tl.sum(_load(sums, t, 2 * channels, c, tiles, channels).to(tl.float64), 0)
    mean = first / pixels
    second = tl.zeros((C,), tl.float64)
    for tile in range(0, tiles, T):
        t = tile + tl.arange(0, T)
        count = tl.maximum(tl.minimum(pixels - t * P, P), 1)[:, None]
        apart = _load(sums, t, 2 * channels, c, tiles, channels).to(tl.float64) / count - mean
        squares = _load(sums + channels, t, 2 * channels, c, tiles, channels)
        part = squares.to(tl.float64) + count * apart * apart
        second += tl.sum(tl.where(_inside(t, c, tiles, channels), part, 0.0), 0)
    _leave(out, 0, c, channels, mean, second / pixels)


@jit
def total(
    sums, out, expected, weight, var, eps, share, tiles, channels, stride,
    ADD: tl.constexpr, T: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """The sums over all tiles; ``expected`` is set to their part, or has it added (ADD)."""
    c = tl.program_id(0) * C + tl.arange(0, C)
    first = tl.zeros((C,), tl.float32)
    second = tl.zeros((C,), tl.float32)
    for tile in range(0, tiles, T):
        t = tile + tl.arange(0, T)
        first += tl.sum(_load(sums, t, 2 * channels, c, tiles, channels), 0)
        second += tl.sum(_load(sums + channels, t, 2 * channels, c, tiles, channels), 0)
    _leave(out, 0, c, channels, first, second)
    inside = c < channels
    rstd = 1 / tl.sqrt(tl.load(var + c, mask=inside, other=1.0) + eps)
    scale = tl.load(weight + c, mask=inside, other=0.0) * rstd * share
    first *= scale
    second *= scale * rstd
    if ADD:
        first += tl.load(expected + c, mask=inside)
        second += tl.load(expected + stride + c, mask=inside)
    tl.store(expected + c, first, mask=inside)
    tl.store(expected + stride + c, second, mask=inside)


@jit
def whole(
    dx, x, out, mean, expected, pixels, channels, stride, dx_stride, expected_stride,
    P: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """The finished gradient, dx - expected[0] - (x - mean) expected[1]."""
    _, p, c = _place(channels, P, C)
    inside = c < channels
    first = tl.load(expected + c, mask=inside)
    second = tl.load(expected + expected_stride + c, mask=inside)
    x = _load(x, p, stride, c, pixels, channels) - tl.load(mean + c, mask=inside)
    dx = _load(dx, p, dx_stride, c, pixels, channels) - first - x * second
    tl.store(_at(out, p, channels, c), dx, mask=_inside(p, c, pixels, channels))


@jit
def pool(
    x, y, weight, bias, mean, var, eps, windows, channels, stride, height, width,
    window_height, window_width, P: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Means of relu(norm(x)) over windows side by side."""
    _, w, c = _place(channels, P, C)
    mean, _, scale, bias = _norm(weight, bias, mean, var, eps, c, channels)
    inside = _inside(w, c, windows, channels)
    down, across = height // window_height, width // window_width
    top = w // (down * across) * height + w // across % down * window_height
    total = tl.zeros((P, C), tl.float32)
    for i in range(window_height):
        for j in range(window_width):
            p = (top + i) * width + w % across * window_width + j
            value = tl.load(_at(x, p, stride, c), mask=inside, other=0.0).to(tl.float32)
            total += _relu((value - mean) * scale + bias)
    total /= window_height * window_width
    tl.store(_at(y, w, channels, c), total, mask=inside)


@jit
def pool_backward(
    dy, x, dx, sums, weight, bias, mean, var, eps, pixels, channels, stride, dx_stride,
    height, width, window_height, window_width,
    ADD: tl.constexpr, P: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """dx, which is set or added to (ADD), and sums, from the gradient of the windows' means."""
    place, p, c = _place(channels, P, C)
    down, across = height // window_height, width // window_width
    i, j = p // width % height // window_height, p % width // window_width
    w = (p // (height * width) * down + i) * across + j
    inside = ((p < pixels) & (i < down) & (j < across))[:, None] & (c < channels)[None, :]
    dy = tl.load(_at(dy, w, channels, c), mask=inside, other=0.0).to(tl.float32)
    dy /= window_height * window_width
    _through(
        dy, x, dx, sums, place, p, c, weight, bias, mean, var, eps, pixels, channels, stride,
        dx_stride, ADD,
    )  # fmt: skip


@jit
def product(
    x, w, z, sums, plus, weight, bias, mean, var, eps, pixels, channels, outputs, stride,
    P: tl.constexpr, C: tl.constexpr, K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """z = relu(norm(x)) w^T and its moments; if ``plus`` is given, relu(z + plus) alone."""
    down, p, o = _place(outputs, P, C)
    total = tl.zeros((P, C), tl.float32)
    for k in range(0, channels, K):
        c = k + tl.arange(0, K)
        m, _, scale, b = _norm(weight, bias, mean, var, eps, c, channels)
        y = (_load(x, p, stride, c, pixels, channels).to(tl.float32) - m) * scale + b
        rows = _load(w, o, channels, c, outputs, channels)
        y = _relu(y).to(rows.dtype)
        total = tl.dot(y, tl.trans(rows), total, input_precision=PRECISION)
    inside = _inside(p, o, pixels, outputs)
    if plus is not None:
        total += tl.load(plus + o, mask=o < outputs, other=0.0)
        tl.store(_at(z, p, outputs, o), _relu(total), mask=inside)
    else:
        kept = total.to(z.dtype.element_ty)
        tl.store(_at(z, p, outputs, o), kept, mask=inside)
        kept = tl.where(inside, kept.to(tl.float32), 0.0)
        _leave_moments(sums, down, p, o, kept, pixels, outputs, P)


@jit
def product_backward(
    dz, w, x, dx, sums, weight, bias, mean, var, eps, pixels, channels, outputs, stride, dx_stride,
    P: tl.constexpr, C: tl.constexpr, K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Adds to dx the gradient through dy = dz w, and stores its sums."""
    down, p, c = _place(channels, P, C)
    dy = tl.zeros((P, C), tl.float32)
    for k in range(0, outputs, K):
        o = k + tl.arange(0, K)
        part = _load(dz, p, outputs, o, pixels, outputs)
        dy = tl.dot(
            part, _load(w, o, channels, c, outputs, channels), dy, input_precision=PRECISION
        )
    _through(
        dy, x, dx, sums, down, p, c, weight, bias, mean, var, eps, pixels, channels, stride,
        dx_stride, True,
    )  # fmt: skip


@jit
def product_weight(
    dz, x, out, weight, bias, mean, var, eps, pixels, channels, outputs, stride,
    P: tl.constexpr, C: tl.constexpr, K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """dz^T y over this program's share of the pixels, with y = relu(norm(x))."""
    _, o, c = _place(channels, P, C)
    mean, _, scale, bias = _norm(weight, bias, mean, var, eps, c, channels)
    part = tl.program_id(1)
    share = tl.cdiv(tl.cdiv(pixels, K), tl.num_programs(1)) * K
    total = tl.zeros((P, C), tl.float32)
    for start in range(part * share, tl.minimum(part * share + share, pixels), K):
        p = start + tl.arange(0, K)
        y = (_load(x, p, stride, c, pixels, channels).to(tl.float32) - mean) * scale + bias
        rows = _load(dz, p, outputs, o, pixels, outputs)
        y = _relu(y).to(rows.dtype)
        total = tl.dot(tl.trans(rows), y, total, input_precision=PRECISION)
    out += part.to(tl.int64) * outputs * channels
    tl.store(_at(out, o, channels, c), total, mask=_inside(o, c, outputs, channels))
