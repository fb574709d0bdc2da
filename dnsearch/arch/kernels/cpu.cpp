// A DenseNet with batch norm, forward and backward, on a CPU.
//
// Activations lie channel by channel, (channels, n, h, w): the input of a dense layer is then the
// beginning of its block's buffer, and a layer appends its maps at the end. The batch statistics of
// a map are the same for every layer that reads it, so they are taken once, when it is written.
// Normalisation and ReLU are done on the way into each convolution, in tiles that stay in cache, and
// done again on the way back: kept are a block's buffer and the output of its 1x1 convolutions.
//
// On the way back each consumer of a map adds a * g to its gradient (a: the factor of the
// consumer's normalisation, g: what comes back through its ReLU) and two numbers to its sums; the
// terms of mean and variance are linear in them and follow once, when the map's producer is reached.
//
// Plain C++17 with the vector extensions of gcc and clang; cpu.py builds and calls it.

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

namespace {

using Index = std::int64_t;

// Registers: a block of OUTS x VECTORS accumulators and what feeds it must fit.
#ifdef __AVX512F__
constexpr int BYTES = 64, OUTS = 6, VECTORS = 4;
#else
constexpr int BYTES = 32, OUTS = 6, VECTORS = 2;
#endif
constexpr int COLUMNS = VECTORS;
// gcc would rather load a vector again for each use.
#ifdef __AVX__
#define IN_REGISTER(vector) asm("" : "+v"(vector))
#else
#define IN_REGISTER(vector) (void)0
#endif
constexpr Index CACHE = 640 << 10;  // bytes of a tile: well inside a core's second level

template <class T> struct VectorOf {
  typedef T type __attribute__((vector_size(BYTES)));
};
template <class T> using Vector = typename VectorOf<T>::type;
template <class T> constexpr Index LANES = BYTES / sizeof(T);

template <class T> inline Vector<T> load(const T* from) {
  Vector<T> vector;
  std::memcpy(&vector, from, BYTES);
  return vector;
}
template <class T> inline void store(T* to, Vector<T> vector) { std::memcpy(to, &vector, BYTES); }
template <class V> inline V relu(V x) { return x < 0 ? V{} : x; }  // NaN stays NaN, as in torch
template <class T> inline T total(Vector<T> vector) {
  T lanes[LANES<T>];
  store(lanes, vector);
#pragma GCC unroll 8
  for (Index half = LANES<T> / 2; half; half /= 2)
#pragma GCC unroll 16
    for (Index i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}
inline Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
inline Index round_up(Index a, Index b) { return ceil_div(a, b) * b; }
// The most of `count` that one piece may have, `most` at best, so that every thread gets as much.
inline Index share(Index count, Index most, Index threads) {
  return ceil_div(count, round_up(ceil_div(count, most), threads));
}

// ------------------------------------------------------------------ matrix products

// Cuts `count` into the fewest blocks of at most `most`, as even as they go.
struct Blocks {
  Index count, blocks;
  Blocks(Index count, Index most) : count(count), blocks(ceil_div(count, most)) {}
  Index begin(Index block) const { return count * block / blocks; }
  Index size(Index block) const { return begin(block + 1) - begin(block); }
};

template <class T, int OUT, int VEC>
void accumulate_tile(const T* const* rows, Index count, const T* w, T* out, Index pitch, Index at) {
  Vector<T> sums[OUT][VEC] = {};
  for (Index r = 0; r < count; ++r, w += OUT) {
    Vector<T> x[VEC];
#pragma GCC unroll 8
    for (int v = 0; v < VEC; ++v) x[v] = load(rows[r] + at + v * LANES<T>);
#pragma GCC unroll 8
    for (int o = 0; o < OUT; ++o)
#pragma GCC unroll 8
      for (int v = 0; v < VEC; ++v) sums[o][v] += w[o] * x[v];
  }
#pragma GCC unroll 8
  for (int o = 0; o < OUT; ++o)
#pragma GCC unroll 8
    for (int v = 0; v < VEC; ++v) store(out + o * pitch + at + v * LANES<T>, sums[o][v]);
}

template <class T, int OUT>
void accumulate_block(const T* const* rows, Index count, const T* w, T* out, Index pitch,
                      Index length) {
  Index at = 0, step = VECTORS * LANES<T>;
  for (; at + step <= length; at += step)
    accumulate_tile<T, OUT, VECTORS>(rows, count, w, out, pitch, at);
  for (; at + LANES<T> < length; at += 2 * LANES<T>)
    accumulate_tile<T, OUT, 2>(rows, count, w, out, pitch, at);
  if (at < length) accumulate_tile<T, OUT, 1>(rows, count, w, out, pitch, at);
}

// Weights in the order in which `accumulate` reads them: block by block, row by row.
template <class T> struct Packed {
  Index rows;
  Blocks blocks;
  std::vector<T> data;
  template <class F> Packed(Index outs, Index rows, F weight) : rows(rows), blocks(outs, OUTS) {
    data.reserve(outs * rows);
    for (Index b = 0; b < blocks.blocks; ++b)
      for (Index r = 0; r < rows; ++r)
        for (Index o = blocks.begin(b); o < blocks.begin(b + 1); ++o) data.push_back(weight(o, r));
  }
};

// out[o][p] = sum over r of w[o][r] * rows[r][p], for the outs of one block; p runs to the end of
// the last vector that `length` touches.
template <class T>
void accumulate(const Packed<T>& w, Index block, const T* const* rows, T* out, Index pitch,
                Index length) {
  const T* from = w.data.data() + w.blocks.begin(block) * w.rows;
  switch (w.blocks.size(block)) {
    case 1: return accumulate_block<T, 1>(rows, w.rows, from, out, pitch, length);
    case 2: return accumulate_block<T, 2>(rows, w.rows, from, out, pitch, length);
    case 3: return accumulate_block<T, 3>(rows, w.rows, from, out, pitch, length);
    case 4: return accumulate_block<T, 4>(rows, w.rows, from, out, pitch, length);
    case 5: return accumulate_block<T, 5>(rows, w.rows, from, out, pitch, length);
    default: return accumulate_block<T, 6>(rows, w.rows, from, out, pitch, length);
  }
}

template <class T, int ROWS, int COLS>
void correlate_tile(const T* const* rows, const T* const* cols, Index length, T* dw, Index pitch) {
  Vector<T> sums[ROWS][COLS] = {};
  for (Index at = 0; at < length; at += LANES<T>) {
    Vector<T> x[COLS];
#pragma GCC unroll 8
    for (int c = 0; c < COLS; ++c) x[c] = load(cols[c] + at);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
      Vector<T> g = load(rows[r] + at);
      IN_REGISTER(g);
#pragma GCC unroll 8
      for (int c = 0; c < COLS; ++c) sums[r][c] += g * x[c];
    }
  }
  for (int r = 0; r < ROWS; ++r)
    for (int c = 0; c < COLS; ++c) dw[r * pitch + c] += total<T>(sums[r][c]);
}

template <class T, int ROWS>
void correlate_rows(const T* const* rows, const T* const* cols, Index count, Index length, T* dw,
                    Index pitch) {
  Blocks blocks(count, COLUMNS);
  for (Index b = 0; b < blocks.blocks; ++b) {
    const T* const* from = cols + blocks.begin(b);
    T* to = dw + blocks.begin(b);
    switch (blocks.size(b)) {
      case 1: correlate_tile<T, ROWS, 1>(rows, from, length, to, pitch); break;
      case 2: correlate_tile<T, ROWS, 2>(rows, from, length, to, pitch); break;
#if defined(__AVX512F__)
      case 3: correlate_tile<T, ROWS, 3>(rows, from, length, to, pitch); break;
      default: correlate_tile<T, ROWS, 4>(rows, from, length, to, pitch);
#endif
    }
  }
}

// dw[r][c] += sum over p of rows[r][p] * cols[c][p]; dw has `pitch` columns a row.
template <class T>
void correlate(const T* const* rows, Index row_count, const T* const* cols, Index col_count,
               Index length, T* dw, Index pitch) {
  Blocks blocks(row_count, OUTS);
  for (Index b = 0; b < blocks.blocks; ++b) {
    const T* const* from = rows + blocks.begin(b);
    T* to = dw + blocks.begin(b) * pitch;
    switch (blocks.size(b)) {
      case 1: correlate_rows<T, 1>(from, cols, col_count, length, to, pitch); break;
      case 2: correlate_rows<T, 2>(from, cols, col_count, length, to, pitch); break;
      case 3: correlate_rows<T, 3>(from, cols, col_count, length, to, pitch); break;
      case 4: correlate_rows<T, 4>(from, cols, col_count, length, to, pitch); break;
      case 5: correlate_rows<T, 5>(from, cols, col_count, length, to, pitch); break;
      default: correlate_rows<T, 6>(from, cols, col_count, length, to, pitch);
    }
  }
}

// ------------------------------------------------------------------ threads

thread_local int threads = 1;  // set by the caller; 1 for what is called inside a parallel region

// Calls task(thread, i) for every i; each thread has one run of neighbours, so sums come out the
// same every time.
template <class F> void parallel(Index tasks, F task) {
  int team = static_cast<int>(std::min<Index>(threads, tasks));
  if (team <= 1) {
    for (Index i = 0; i < tasks; ++i) task(0, i);
    return;
  }
#pragma omp parallel num_threads(team)
  {
    Index thread = omp_get_thread_num(), size = omp_get_num_threads();
    int before = threads;
    threads = 1;
    for (Index i = tasks * thread / size; i < tasks * (thread + 1) / size; ++i)
      task(static_cast<int>(thread), i);
    threads = before;
  }
}

// Room for tiles, kept between calls: fresh pages are costly.
template <class T> T* scratch(Index size, int which) {
  static thread_local std::vector<Vector<T>> rooms[4];
  std::vector<Vector<T>>& room = rooms[which];
  if (Index(room.size()) * LANES<T> < size) room.resize(ceil_div(size, LANES<T>));
  return reinterpret_cast<T*>(room.data());
}

// One array of `size` numbers a thread, summed at the end in the order of the threads.
template <class T> struct Partial {
  Index size;
  std::vector<T> data;
  explicit Partial(Index size) : size(size), data(size * threads) {}
  T* of(int thread) { return data.data() + thread * size; }
  const T* sum() {
    for (int thread = 1; thread < threads; ++thread)
      for (Index i = 0; i < size; ++i) data[i] += data[thread * size + i];
    return data.data();
  }
};

// ------------------------------------------------------------------ statistics

struct Moments {
  double count = 0, mean = 0, squares = 0;  // squares: sum of squared distances from the mean
  void merge(const Moments& other) {        // Chan, Golub, LeVeque 1983
    if (other.count == 0) return;
    double both = count + other.count, apart = other.mean - mean;
    squares += other.squares + apart * apart * count * other.count / both;
    mean += apart * other.count / both;
    count = both;
  }
};

template <class T> Moments moments_of(const T* x, Index length) {
  Vector<T> sums = {};
  Index at = 0;
  for (; at + LANES<T> <= length; at += LANES<T>) sums += load(x + at);
  double sum = total<T>(sums);
  for (Index i = at; i < length; ++i) sum += x[i];
  double mean = sum / length, squares = 0;
  T centre = static_cast<T>(mean);
  sums = Vector<T>{};
  for (at = 0; at + LANES<T> <= length; at += LANES<T>) {
    Vector<T> apart = load(x + at) - centre;
    sums += apart * apart;
  }
  squares = total<T>(sums);
  for (; at < length; ++at) squares += (x[at] - centre) * (x[at] - centre);
  return {static_cast<double>(length), mean,
          std::max(0.0, squares - (mean - centre) * (mean - centre) * length)};
}

// Of several maps, by several threads.
struct Statistics {
  Index channels;
  std::vector<Moments> data;
  explicit Statistics(Index channels) : channels(channels), data(channels * threads) {}
  void add(int thread, Index channel, const Moments& moments) {
    data[thread * channels + channel].merge(moments);
  }
  Moments of(Index channel) const {
    Moments all;
    for (int thread = 0; thread < threads; ++thread) all.merge(data[thread * channels + channel]);
    return all;
  }
};

// What normalisation needs to know of some maps: of a block's buffer or of one layer's z.
template <class T> struct Known {
  T *mean, *variance, *rstd;
};

// A batch norm's place in the lists of parameters, statistics and gradients.
template <class T> struct Norm {
  const T *gamma, *beta;
  T *running_mean, *running_variance, *d_gamma, *d_beta;
};

// Normalisation as y = a * x + b.
template <class T> struct Affine {
  std::vector<T> a, b;
  explicit Affine(Index channels) : a(channels), b(channels) {}
  template <class V> V operator()(Index c, V x) const { return a[c] * x + b[c]; }
};

// What a consumer's ReLU lets through of `upstream`, and where it goes.
enum class Into { gradient, added_gradient, masked };  // a * g, += a * g, g itself

struct Sums {
  double g = 0, g_apart = 0;  // of g, and of g times the distance from the mean
};

// Reads x and upstream, and writes `to`, over `length` pixels of channel c.
template <Into into, class T>
Sums consume(const T* x, const T* upstream, T* to, Index length, T a, T b, T mean) {
  Vector<T> g_sum = {}, apart_sum = {}, zero = {};
  Index at = 0;
  for (; at + LANES<T> <= length; at += LANES<T>) {
    Vector<T> value = load(x + at);
    Vector<T> g = a * value + b > 0 ? load(upstream + at) : zero;
    g_sum += g;
    apart_sum += g * (value - mean);
    if (into == Into::added_gradient) store(to + at, load(to + at) + a * g);
    if (into == Into::gradient) store(to + at, a * g);
    if (into == Into::masked) store(to + at, g);
  }
  Sums sums{total<T>(g_sum), total<T>(apart_sum)};
  for (; at < length; ++at) {
    T g = a * x[at] + b > 0 ? upstream[at] : 0;
    sums.g += g;
    sums.g_apart += g * (x[at] - mean);
    if (into == Into::added_gradient) to[at] += a * g;
    if (into == Into::gradient) to[at] = a * g;
    if (into == Into::masked) to[at] = g;
  }
  return sums;
}

// ------------------------------------------------------------------ planes in patches

// The images cut into patches, each of some whole images or of a band of one image's rows, copied
// with a row of zeros (or the rows beyond a band) between and around, and one column between
// rows: a 3x3 convolution is then nine shifts of one long line.
template <class T> struct Patches {
  Index n, h, w, images, rows;

  Patches(Index n, Index h, Index w, Index channels) : n(n), h(h), w(w) {
    Index room = CACHE / Index(sizeof(T)) / channels;
    rows = std::clamp<Index>(room / (w + 1) - 1, std::min<Index>(h, 4), h);
    images = rows < h ? 1 : share(n, std::max<Index>(1, room / ((h + 1) * (w + 1))), threads);
    rows = ceil_div(h, ceil_div(h, rows));
  }
  Index bands() const { return ceil_div(h, rows); }
  Index count() const { return ceil_div(n, images) * bands(); }
  Index width() const { return w + 1; }
  Index line() const { return (images * (rows + 1) + 1) * width(); }  // of a whole patch
  Index pitch() const { return round_up(front() + line() + 2 * LANES<T>, LANES<T>); }
  // Room before a line, where its first output's taps reach; outputs begin on a vector's border.
  Index front() const { return 2 * LANES<T> - width() % LANES<T>; }
};

template <class T> struct Patch {
  const Patches<T>& cut;
  Index image, images, row, rows;

  Patch(const Patches<T>& cut, Index index) : cut(cut) {
    image = index / cut.bands() * cut.images;
    images = std::min(cut.images, cut.n - image);
    row = index % cut.bands() * cut.rows;
    rows = std::min(cut.rows, cut.h - row);
  }
  Index pixels() const { return images * rows * cut.w; }
  Index offset() const { return (image * cut.h + row) * cut.w; }  // of its first pixel in a map
  Index first() const { return cut.width(); }                     // of the line's outputs
  Index length() const { return (images * (rows + 1) - 1) * cut.width(); }

  // Writes the line of channel c, f(source, destination) doing one vector. What is written beyond
  // a row's end is overwritten by the rows that follow.
  template <class F> void fill(T* line, F vector) const {
    Index width = cut.width(), w = cut.w;
    line[-1] = 0;
    T* to = line;
    for (Index i = 0; i < images; ++i) {
      Index from = (image + i) * cut.h * w;
      for (Index r = -1; r < rows; ++r, to += width) {
        Index y = row + r;
        if (y < 0) {
          std::fill_n(to, width, T(0));
          continue;
        }
        to[0] = 0;
        for (Index x = 0; x < w; x += LANES<T>) vector(from + y * w + x, to + 1 + x);
      }
    }
    Index below = row + rows;
    std::fill_n(to, width + 2 * LANES<T>, T(0));
    if (below < cut.h) {
      Index from = (image * cut.h + below) * w;
      for (Index x = 0; x < w; x += LANES<T>) vector(from + x, to + 1 + x);
      std::fill_n(to + width, 2 * LANES<T>, T(0));
    }
  }
  // Zeros in place of the row below a band, so that sums over the line leave it out.
  void clear_below(T* line) const { std::fill_n(line + first() + length(), cut.width(), T(0)); }

  // The pixels of an output line (without its first row), packed; overruns within `to` only.
  void gather(const T* line, T* to) const {
    Index w = cut.w;
    T* end = to + pixels();
    for (Index i = 0; i < images; ++i)
      for (Index r = 0; r < rows; ++r, to += w) {
        const T* from = line + (i * (rows + 1) + r) * cut.width() + 1;
        if (to + round_up(w, LANES<T>) <= end)
          for (Index x = 0; x < w; x += LANES<T>) store(to + x, load(from + x));
        else
          std::copy_n(from, w, to);
      }
  }
  // Where the nine taps of each line begin, for outputs that begin at `first()`.
  void taps(const T* lines, Index channels, int sign, std::vector<const T*>& rows_of) const {
    rows_of.clear();
    for (Index c = 0; c < channels; ++c)
      for (Index t = 0; t < 9; ++t)
        rows_of.push_back(lines + c * cut.pitch() + first() +
                          sign * ((t / 3 - 1) * cut.width() + t % 3 - 1));
  }
};

// ------------------------------------------------------------------ the network

struct Shape {  // as cpu.py fills it in
  // in_channels: of the images where the stem is a 3x3 convolution done here; 0: it is done.
  Index n, in_channels, h, w, blocks;
  const Index* layers;  // of each block
  const Index* widths;  // channels that each block begins with
  const Index* growth_rates;
  const Index* bottlenecks;  // outputs of the 1x1 convolution of a block's layers, 0 without one
  const Index* pools;        // 1 where a transition behind a block halves the resolution, else 0
  double epsilon, momentum;
};

template <class T> using Shared = std::shared_ptr<const Packed<T>>;

template <class T> class Network {
  // norm, ReLU and a 1x1 convolution of a block's first maps: half a layer, or a transition.
  struct Projection {
    Index channels, outs;
    Norm<T> norm;
    const T* conv;
    T* d_conv;
    Shared<T> packed;
  };
  struct Layer {
    Projection first;  // without a bottleneck there is only its norm, before conv2
    Norm<T> norm2;
    const T* conv2;
    T* d_conv2;
    Shared<T> packed2;
    T* z;
    Known<T> of_z;
  };
  struct Block {
    Index channels, pixels, h, w, growth_rate, bottleneck;
    bool pools;  // whether the transition behind it does
    std::vector<Layer> layers;
    Projection last;  // the transition; behind the last block there is only its norm
    T* x;
    Known<T> of_x;
  };
  // A block's gradient on the way back: its maps', and the sums of their consumers.
  struct Gradient {
    std::unique_ptr<T[]> dx;
    std::vector<double> mean, apart;
  };

  Shape s;
  bool training;
  const T* stem = nullptr;
  T* d_stem = nullptr;
  std::vector<Block> blocks;
  Index size = 0;

 public:
  // The pointers are in the order of the modules: weights (gamma, beta, convolution), then
  // gradients likewise (null where there is no way back), running mean and variance of each norm.
  Network(const Shape& shape, bool training, T* const* params, T* const* running, T* const* grads)
      : s(shape), training(training) {
    auto next = [&](const T*& weight, T*& gradient) {
      weight = *params++;
      gradient = grads ? *grads++ : nullptr;
    };
    auto next_norm = [&](Norm<T>& norm) {
      next(norm.gamma, norm.d_gamma);
      next(norm.beta, norm.d_beta);
      norm.running_mean = *running++;
      norm.running_variance = *running++;
    };
    if (s.in_channels) next(stem, d_stem);
    for (Index b = 0; b < s.blocks; ++b) {
      Block& block = blocks.emplace_back();
      block.channels = s.widths[b];
      block.growth_rate = s.growth_rates[b];
      block.bottleneck = s.bottlenecks[b];
      block.pools = s.pools[b];
      auto next_projection = [&](Projection& projection, Index outs) {
        projection.channels = block.channels;
        projection.outs = outs;
        next_norm(projection.norm);
        if (outs) next(projection.conv, projection.d_conv);
      };
      for (Index i = 0; i < s.layers[b]; ++i) {
        Layer& layer = block.layers.emplace_back();
        next_projection(layer.first, block.bottleneck);
        if (block.bottleneck) next_norm(layer.norm2);
        next(layer.conv2, layer.d_conv2);
        block.channels += block.growth_rate;
      }
      next_projection(block.last, b + 1 < s.blocks ? s.widths[b + 1] : 0);
    }
    lay_out(s.n, nullptr);
  }

  Index saved_size() const { return size; }

  // Trains: statistics are the batch's, and the running ones learn of them.
  void forward(const T* images, T* saved, T* out) {
    lay_out(s.n, saved);
    pack();
    run(images, out);
  }

  // Infers in groups of images that stay in cache; running statistics.
  void infer(const T* images, T* out) {
    pack();
    Index all = s.n, in = s.in_channels ? s.in_channels : s.widths[0];
    lay_out(1, nullptr);
    Index room = (4 << 20) / Index(sizeof(T)) / size;
    Index group = share(all, std::max<Index>(room, 1), threads), groups = ceil_div(all, group);
    std::vector<Network> copies(std::min<Index>(threads, groups), *this);
    parallel(groups, [&](int thread, Index i) {
      Network& mine = copies[thread];
      Index first = i * group, n = std::min(group, all - first);
      mine.lay_out(n, nullptr);
      mine.lay_out(n, scratch<T>(mine.size, 3));
      mine.run(images + first * in * s.h * s.w, out + first * blocks.back().channels);
    });
  }

  void backward(const T* images, T* saved, const T* d_out, T* d_images) {
    lay_out(s.n, saved);
    Gradient after, gradient = unpool(blocks.back(), d_out);
    for (Index b = s.blocks - 1;; --b) {
      Block& block = blocks[b];
      for (Index i = block.layers.size() - 1; i >= 0; --i)
        layer_back(block, block.layers[i], gradient);
      if (b == 0) break;
      after = std::move(gradient);
      gradient = transition_back(blocks[b - 1], block, after);
    }
    stem_back(images, gradient, d_images);
  }

 private:
  // Gives every map its place behind `base`; each is followed by a vector's width of zeros, so that
  // a row may be read beyond its end.
  void lay_out(Index n, T* base) {
    s.n = n;
    Index at = 0, h = s.h, w = s.w;
    auto take = [&](Index count) {
      T* place = base ? base + at : nullptr;
      if (base) std::fill_n(place + count, LANES<T>, T(0));
      at += round_up(count, LANES<T>) + LANES<T>;
      return place;
    };
    auto know = [&](Index count) { return Known<T>{take(count), take(count), take(count)}; };
    T* shared_z = nullptr;
    for (Block& block : blocks) {
      block.h = h, block.w = w, block.pixels = n * h * w;
      block.x = take(block.channels * block.pixels);
      block.of_x = know(block.channels);
      Index m = block.bottleneck;
      if (m && !training) shared_z = take(m * block.pixels);
      for (Layer& layer : block.layers) {
        if (!m) continue;
        layer.z = training ? take(m * block.pixels) : shared_z;
        layer.of_z = know(m);
      }
      if (block.pools) h /= 2, w /= 2;
    }
    size = at;
  }

  // Weights as `accumulate` wants them; for inference, norm2 goes into conv1.
  void pack() {
    auto pack = [](Projection& projection, const std::vector<T>& a) {
      Index c = projection.channels;
      projection.packed = std::make_shared<Packed<T>>(
          projection.outs, c, [&](Index o, Index r) { return a[o] * projection.conv[o * c + r]; });
    };
    for (Block& block : blocks) {
      Index m = block.bottleneck;
      for (Layer& layer : block.layers) {
        pack(layer.first, training ? std::vector<T>(m, T(1)) : running_affine(layer.norm2, m).a);
        Index rows = 9 * (m ? m : layer.first.channels);
        layer.packed2 = std::make_shared<Packed<T>>(
            block.growth_rate, rows,
            [&](Index o, Index r) { return layer.conv2[o * rows + r]; });
      }
      pack(block.last, std::vector<T>(block.last.outs, T(1)));
    }
  }

  void run(const T* images, T* out) {
    take_in(images);
    for (Index b = 0; b < s.blocks; ++b) {
      for (Layer& layer : blocks[b].layers) dense_layer(blocks[b], layer);
      if (b + 1 < s.blocks) transition(blocks[b], blocks[b + 1]);
    }
    pool(blocks.back(), out);
  }

  // -------------------------------------------------------------- normalisation

  Affine<T> running_affine(const Norm<T>& norm, Index channels) const {
    Affine<T> affine(channels);
    for (Index c = 0; c < channels; ++c) {
      double a = norm.gamma[c] / std::sqrt(double(norm.running_variance[c]) + s.epsilon);
      affine.a[c] = T(a);
      affine.b[c] = T(norm.beta[c] - norm.running_mean[c] * a);
    }
    return affine;
  }

  Affine<T> batch_affine(const Norm<T>& norm, const Known<T>& known, Index channels) const {
    Affine<T> affine(channels);
    for (Index c = 0; c < channels; ++c) {
      affine.a[c] = norm.gamma[c] * known.rstd[c];
      affine.b[c] = norm.beta[c] - known.mean[c] * affine.a[c];
    }
    return affine;
  }

  // On the way in; the running statistics take in the batch's.
  Affine<T> normalise(const Norm<T>& norm, const Known<T>& known, Index channels, Index pixels) {
    if (!training) return running_affine(norm, channels);
    T unbiased = T(pixels) / T(pixels - 1), m = T(s.momentum);
    for (Index c = 0; c < channels; ++c) {
      norm.running_mean[c] += m * (known.mean[c] - norm.running_mean[c]);
      norm.running_variance[c] += m * (known.variance[c] * unbiased - norm.running_variance[c]);
    }
    return batch_affine(norm, known, channels);
  }

  void learn(const Statistics& statistics, const Known<T>& known, Index first) const {
    for (Index c = 0; c < statistics.channels; ++c) {
      Moments moments = statistics.of(c);
      double variance = moments.squares / moments.count;
      known.mean[first + c] = T(moments.mean);
      known.variance[first + c] = T(variance);
      known.rstd[first + c] = T(1 / std::sqrt(variance + s.epsilon));
    }
  }

  // A norm's own gradients, and what the mean and the variance add to its input's; returns those
  // two for every channel, per pixel.
  std::vector<Sums> settle(const Norm<T>& norm, const Known<T>& known, Partial<double>& partial,
                           Index channels, Index pixels) const {
    const double* sums = partial.sum();
    std::vector<Sums> means(channels);
    for (Index c = 0; c < channels; ++c) {
      double g = sums[2 * c], g_hat = sums[2 * c + 1] * known.rstd[c];
      norm.d_beta[c] = T(g);
      norm.d_gamma[c] = T(g_hat);
      double a = double(norm.gamma[c]) * known.rstd[c];
      means[c] = {a * g / pixels, a * g_hat * known.rstd[c] / pixels};
    }
    return means;
  }

  void settle(const Block& block, const Norm<T>& norm, Partial<double>& partial, Index channels,
              Gradient& gradient) const {
    std::vector<Sums> means = settle(norm, block.of_x, partial, channels, block.pixels);
    for (Index c = 0; c < channels; ++c) {
      gradient.mean[c] += means[c].g;
      gradient.apart[c] += means[c].g_apart;
    }
  }

  Gradient gradient_of(const Block& block) const {
    Index room = block.channels * block.pixels;
    Gradient gradient{std::unique_ptr<T[]>(new T[room + LANES<T>]),
                      std::vector<double>(block.channels), std::vector<double>(block.channels)};
    std::fill_n(gradient.dx.get() + room, LANES<T>, T(0));
    return gradient;
  }

  // The gradient of map c with all that its consumers owe it: f(offset) gives a vector.
  auto whole(const Block& block, const Gradient& gradient, Index c) const {
    const T* dx = gradient.dx.get() + c * block.pixels;
    const T* x = block.x + c * block.pixels;
    T mean = block.of_x.mean[c], g = T(gradient.mean[c]), apart = T(gradient.apart[c]);
    return [=](Index at) { return load(dx + at) - g - (load(x + at) - mean) * apart; };
  }

  // -------------------------------------------------------------- the way in

  // Images (n, c, h, w) become (c, n, h, w); the first block's maps, or what the stem makes of them.
  void take_in(const T* images) {
    Block& block = blocks[0];
    Index channels = s.in_channels ? s.in_channels : s.widths[0], hw = s.h * s.w;
    std::vector<T> turned;
    T* to = block.x;
    if (s.in_channels) {
      turned.resize(channels * block.pixels + LANES<T>);
      to = turned.data();
    }
    turn(images, channels, to);
    if (!s.in_channels) {
      Statistics statistics(channels);
      if (training)
        parallel(channels, [&](int thread, Index c) {
          for (Index i = 0; i < s.n; ++i)
            statistics.add(thread, c, moments_of(to + c * block.pixels + i * hw, hw));
        });
      if (training) learn(statistics, block.of_x, 0);
      return;
    }
    Index rows = 9 * channels;
    Packed<T> w(s.widths[0], rows, [&](Index o, Index r) { return stem[o * rows + r]; });
    convolve(block, 0, w, [&](Index c) {
      const T* from = to + c * block.pixels;
      return [=](Index at, T* line) { store(line, load(from + at)); };
    });
  }

  void turn(const T* images, Index channels, T* to) const {
    Index hw = s.h * s.w;
    for (Index i = 0; i < s.n; ++i)
      for (Index c = 0; c < channels; ++c)
        std::copy_n(images + (i * channels + c) * hw, hw, to + (c * s.n + i) * hw);
  }

  void dense_layer(Block& block, Layer& layer) {
    Index m = block.bottleneck, channels = layer.first.channels;
    Affine<T> affine = normalise(layer.first.norm, block.of_x, channels, block.pixels);
    const T* source = block.x;
    if (m) {
      std::vector<T> shift(m);
      if (!training) shift = running_affine(layer.norm2, m).b;
      project(block, layer.first, affine, layer.z, layer.of_z, [&](Index o, T* row, Index length) {
        if (!training) rectify(row, row, length, T(1), shift[o]);
      });
      source = layer.z;
      if (training) affine = normalise(layer.norm2, layer.of_z, m, block.pixels);
    }
    bool done = m && !training;  // norm2 and ReLU went with conv1
    convolve(block, channels, *layer.packed2, [&](Index c) {
      const T* from = source + c * block.pixels;
      T a = done ? T(1) : affine.a[c], b = done ? T(0) : affine.b[c];
      return [=](Index at, T* line) { store(line, relu(a * load(from + at) + b)); };
    });
  }

  // Pixels of a tile with so many rows.
  Index tile(Index channels, Index pixels) const {
    Index step = VECTORS * LANES<T>;
    Index most = std::clamp<Index>(CACHE / Index(sizeof(T)) / channels / step, 1, 16) * step;
    return round_up(share(pixels, most, threads), LANES<T>);
  }

  // norm, ReLU, 1x1 convolution: the maps at `to`, with their statistics. finish(o, row, length) may
  // change what is written of output o.
  template <class F>
  void project(const Block& block, const Projection& projection, const Affine<T>& affine, T* to,
               const Known<T>& known, F finish) {
    Index c_in = projection.channels, pixels = block.pixels, width = tile(c_in, pixels);
    Statistics statistics(projection.outs);
    parallel(ceil_div(pixels, width), [&](int thread, Index i) {
      Index at = i * width, length = std::min(width, pixels - at);
      T* y = scratch<T>(c_in * width, 0);
      T* out = scratch<T>(OUTS * width, 1);
      std::vector<const T*> rows(c_in);
      for (Index c = 0; c < c_in; ++c) {
        rows[c] = y + c * width;
        rectify(block.x + c * pixels + at, y + c * width, length, affine.a[c], affine.b[c]);
      }
      const Blocks& outs = projection.packed->blocks;
      for (Index b = 0; b < outs.blocks; ++b) {
        accumulate(*projection.packed, b, rows.data(), out, width, length);
        for (Index o = outs.begin(b); o < outs.begin(b + 1); ++o) {
          T* row = out + (o - outs.begin(b)) * width;
          if (training) statistics.add(thread, o, moments_of(row, length));
          finish(o, row, length);
          std::copy_n(row, length, to + o * pixels + at);
        }
      }
    });
    if (training) learn(statistics, known, 0);
  }

  // y = ReLU(a * x + b); whole vectors, so up to a vector's width beyond the end.
  static void rectify(const T* x, T* y, Index length, T a, T b) {
    for (Index at = 0; at < length; at += LANES<T>) store(y + at, relu(a * load(x + at) + b));
  }

  // A 3x3 convolution into the block's maps from `first` on, with their statistics. fill(c) gives
  // what writes channel c of its input into a line.
  template <class F> void convolve(Block& block, Index first, const Packed<T>& w, F fill) {
    Index c_in = w.rows / 9, outs = w.blocks.count;
    Patches<T> cut(s.n, block.h, block.w, c_in + OUTS);
    Statistics statistics(outs);
    parallel(cut.count(), [&](int thread, Index index) {
      Patch<T> patch(cut, index);
      Index pitch = cut.pitch();
      T* lines = scratch<T>(c_in * pitch, 0) + cut.front();
      T* out = scratch<T>(OUTS * pitch, 1);
      for (Index c = 0; c < c_in; ++c) patch.fill(lines + c * pitch, fill(c));
      std::vector<const T*> taps;
      patch.taps(lines, c_in, 1, taps);
      for (Index b = 0; b < w.blocks.blocks; ++b) {
        accumulate(w, b, taps.data(), out, pitch, patch.length());
        for (Index o = w.blocks.begin(b); o < w.blocks.begin(b + 1); ++o) {
          T* map = block.x + (first + o) * block.pixels + patch.offset();
          patch.gather(out + (o - w.blocks.begin(b)) * pitch, map);
          if (training) statistics.add(thread, o, moments_of(map, patch.pixels()));
        }
      }
    });
    if (training) learn(statistics, block.of_x, first);
  }

  void transition(Block& block, Block& next) {
    Affine<T> affine = normalise(block.last.norm, block.of_x, block.channels, block.pixels);
    if (block.pools) pooled_transition(block, next, affine);
    else project(block, block.last, affine, next.x, next.of_x, [](Index, T*, Index) {});
  }

  // norm, ReLU, pooling, convolution: the last two commute, and pooling first is cheaper.
  void pooled_transition(Block& block, Block& next, const Affine<T>& affine) {
    Index group = pooled_group(block, next);
    Statistics statistics(block.last.outs);
    parallel(ceil_div(s.n, group), [&](int thread, Index i) {
      Index image = i * group, images = std::min(group, s.n - image);
      Index length = images * next.h * next.w, pitch = round_up(length, LANES<T>) + LANES<T>;
      T* y = scratch<T>(block.channels * pitch, 0);
      T* out = scratch<T>(OUTS * pitch, 1);
      std::vector<const T*> rows(block.channels);
      for (Index c = 0; c < block.channels; ++c) {
        rows[c] = y + c * pitch;
        pool_maps(block, next, affine, c, image, images, y + c * pitch);
      }
      const Blocks& cut = block.last.packed->blocks;
      for (Index b = 0; b < cut.blocks; ++b) {
        accumulate(*block.last.packed, b, rows.data(), out, pitch, length);
        for (Index o = cut.begin(b); o < cut.begin(b + 1); ++o) {
          const T* row = out + (o - cut.begin(b)) * pitch;
          std::copy_n(row, length, next.x + o * next.pixels + image * next.h * next.w);
          if (training) statistics.add(thread, o, moments_of(row, length));
        }
      }
    });
    if (training) learn(statistics, next.of_x, 0);
  }

  Index pooled_group(const Block& block, const Block& next) const {
    Index room = CACHE / Index(sizeof(T)) / block.channels / (next.h * next.w);
    return share(s.n, std::max<Index>(room, 1), threads);
  }

  // Means of 2x2 pixels of the rectified map c, and a vector's width of zeros.
  void pool_maps(const Block& block, const Block& next, const Affine<T>& affine, Index c,
                 Index image, Index images, T* to) const {
    Index w = block.w, hw = block.h * w;
    T* y = scratch<T>(hw + LANES<T>, 2);
    for (Index i = image; i < image + images; ++i) {
      rectify(block.x + c * block.pixels + i * hw, y, hw, affine.a[c], affine.b[c]);
      const T* row = y;
      for (Index r = 0; r < next.h; ++r, to += next.w, row += 2 * w)
        for (Index x = 0; x < next.w; ++x)
          to[x] = (row[2 * x] + row[2 * x + 1] + row[w + 2 * x] + row[w + 2 * x + 1]) / 4;
    }
    std::fill_n(to, LANES<T>, T(0));
  }

  // norm, ReLU, mean over each map: (n, channels).
  void pool(Block& block, T* out) {
    Affine<T> affine = normalise(block.last.norm, block.of_x, block.channels, block.pixels);
    Index hw = block.h * block.w;
    parallel(block.channels, [&](int, Index c) {
      T* y = scratch<T>(round_up(hw, LANES<T>), 0);
      for (Index i = 0; i < s.n; ++i) {
        rectify(block.x + c * block.pixels + i * hw, y, hw, affine.a[c], affine.b[c]);
        Vector<T> sums = {};
        Index at = 0;
        for (; at + LANES<T> <= hw; at += LANES<T>) sums += load(y + at);
        double sum = total<T>(sums);
        for (; at < hw; ++at) sum += y[at];
        out[i * block.channels + c] = T(sum / hw);
      }
    });
  }

  // -------------------------------------------------------------- the way back

  Gradient unpool(Block& block, const T* d_out) {
    Affine<T> affine = batch_affine(block.last.norm, block.of_x, block.channels);
    Gradient gradient = gradient_of(block);
    Partial<double> partial(2 * block.channels);
    Index hw = block.h * block.w;
    parallel(block.channels, [&](int thread, Index c) {
      T* upstream = scratch<T>(hw, 0);
      for (Index i = 0; i < s.n; ++i) {
        Index at = c * block.pixels + i * hw;
        std::fill_n(upstream, hw, d_out[i * block.channels + c] / T(hw));
        add(partial, thread, c,
            consume<Into::gradient>(block.x + at, upstream, gradient.dx.get() + at, hw,
                                    affine.a[c], affine.b[c], block.of_x.mean[c]));
      }
    });
    settle(block, block.last.norm, partial, block.channels, gradient);
    return gradient;
  }

  static void add(Partial<double>& partial, int thread, Index c, const Sums& sums) {
    partial.of(thread)[2 * c] += sums.g;
    partial.of(thread)[2 * c + 1] += sums.g_apart;
  }

  void layer_back(Block& block, Layer& layer, Gradient& gradient) {
    Index m = block.bottleneck, channels = layer.first.channels, pixels = block.pixels;
    if (!m) {
      Affine<T> affine = batch_affine(layer.first.norm, block.of_x, channels);
      Partial<double> partial(2 * channels);
      convolve_back<Into::added_gradient>(block, layer, gradient, channels, block.x, block.of_x,
                                          affine, gradient.dx.get(), partial);
      settle(block, layer.first.norm, partial, channels, gradient);
      return;
    }
    std::unique_ptr<T[]> masked(new T[m * pixels + LANES<T>]);
    std::fill_n(masked.get() + m * pixels, LANES<T>, T(0));
    Affine<T> affine = batch_affine(layer.norm2, layer.of_z, m);
    Partial<double> partial(2 * m);
    convolve_back<Into::masked>(block, layer, gradient, m, layer.z, layer.of_z, affine,
                                masked.get(), partial);
    std::vector<Sums> means = settle(layer.norm2, layer.of_z, partial, m, pixels);
    project_back<Into::added_gradient>(block, layer.first, gradient, [&](Index o) {
      const T *g = masked.get() + o * pixels, *z = layer.z + o * pixels;
      T a = affine.a[o], mean = layer.of_z.mean[o], owed = T(means[o].g);
      T apart = T(means[o].g_apart);
      return [=](Index at) { return a * load(g + at) - owed - (load(z + at) - mean) * apart; };
    });
  }

  // Back through the 3x3 convolution, the ReLU and the factor of the norm before it. `to` takes
  // what consume() makes of it, for each of the `c_in` maps at `x`.
  template <Into into>
  void convolve_back(Block& block, Layer& layer, const Gradient& gradient, Index c_in, const T* x,
                     const Known<T>& known, const Affine<T>& affine, T* to,
                     Partial<double>& partial) {
    Index k = block.growth_rate, pixels = block.pixels;
    Packed<T> w(c_in, 9 * k, [&](Index i, Index r) {
      return layer.conv2[(r / 9 * c_in + i) * 9 + r % 9];
    });
    Partial<T> d_conv(k * 9 * c_in);
    Patches<T> cut(s.n, block.h, block.w, c_in + k + 2 * OUTS);
    parallel(cut.count(), [&](int thread, Index index) {
      Patch<T> patch(cut, index);
      Index pitch = cut.pitch(), length = patch.length();
      T* lines = scratch<T>((c_in + k) * pitch, 0) + cut.front();
      T* upstream = scratch<T>(OUTS * pitch, 1);
      T* packed = scratch<T>(pitch, 2);
      T* d_lines = lines + c_in * pitch;
      for (Index o = 0; o < k; ++o) {
        auto d = whole(block, gradient, layer.first.channels + o);
        patch.fill(d_lines + o * pitch, [&](Index at, T* line) { store(line, d(at)); });
      }
      for (Index c = 0; c < c_in; ++c) {
        const T* from = x + c * pixels;
        patch.fill(lines + c * pitch, [&](Index at, T* line) {
          store(line, relu(affine(c, load(from + at))));
        });
      }
      std::vector<const T*> taps;
      patch.taps(d_lines, k, -1, taps);
      for (Index b = 0; b < w.blocks.blocks; ++b) {
        accumulate(w, b, taps.data(), upstream, pitch, length);
        for (Index c = w.blocks.begin(b); c < w.blocks.begin(b + 1); ++c) {
          patch.gather(upstream + (c - w.blocks.begin(b)) * pitch, packed);
          Index at = c * pixels + patch.offset();
          add(partial, thread, c,
              consume<into>(x + at, packed, to + at, patch.pixels(), affine.a[c], affine.b[c],
                            known.mean[c]));
        }
      }
      std::vector<const T*> rows(k);
      for (Index o = 0; o < k; ++o) {
        patch.clear_below(d_lines + o * pitch);
        rows[o] = d_lines + o * pitch + patch.first();
      }
      patch.taps(lines, c_in, 1, taps);
      correlate(rows.data(), k, taps.data(), 9 * c_in, length, d_conv.of(thread), 9 * c_in);
    });
    std::copy_n(d_conv.sum(), d_conv.size, layer.d_conv2);
  }

  // Back through a 1x1 convolution, and the ReLU and factor of the norm before it. upstream(o) gives
  // the gradient of output o: f(offset) gives a vector.
  template <Into into, class F>
  void project_back(const Block& block, const Projection& projection, Gradient& gradient,
                    F upstream) {
    Index c_in = projection.channels, outs = projection.outs, pixels = block.pixels;
    Affine<T> affine = batch_affine(projection.norm, block.of_x, c_in);
    Packed<T> w(c_in, outs, [&](Index c, Index o) { return projection.conv[o * c_in + c]; });
    Partial<T> d_conv(c_in * outs);
    Partial<double> partial(2 * c_in);
    Index width = tile(outs + 2 * OUTS, pixels);
    parallel(ceil_div(pixels, width), [&](int thread, Index i) {
      Index at = i * width, length = std::min(width, pixels - at);
      T* d = scratch<T>(outs * width, 0);
      T* y = scratch<T>(OUTS * width, 1);
      T* d_y = scratch<T>(OUTS * width, 2);
      std::vector<const T*> d_rows(outs), y_rows(OUTS);
      for (Index o = 0; o < outs; ++o) {
        auto from = upstream(o);
        T* row = d + o * width;
        d_rows[o] = row;
        for (Index p = 0; p < length; p += LANES<T>) store(row + p, from(at + p));
        std::fill(row + length, row + round_up(length, LANES<T>), T(0));
      }
      for (Index b = 0; b < w.blocks.blocks; ++b) {
        Index first = w.blocks.begin(b), count = w.blocks.size(b);
        accumulate(w, b, d_rows.data(), d_y, width, length);
        for (Index c = first; c < first + count; ++c) {
          T* row = y + (c - first) * width;
          y_rows[c - first] = row;
          const T* x = block.x + c * pixels + at;
          rectify(x, row, length, affine.a[c], affine.b[c]);
          add(partial, thread, c,
              consume<into>(x, d_y + (c - first) * width, gradient.dx.get() + c * pixels + at,
                            length, affine.a[c], affine.b[c], block.of_x.mean[c]));
        }
        correlate(y_rows.data(), count, d_rows.data(), outs, length,
                  d_conv.of(thread) + first * outs, outs);
      }
    });
    hand_over(projection, d_conv);
    settle(block, projection.norm, partial, c_in, gradient);
  }

  // The weights' gradient was summed input by input.
  static void hand_over(const Projection& projection, Partial<T>& partial) {
    const T* sum = partial.sum();
    for (Index o = 0; o < projection.outs; ++o)
      for (Index c = 0; c < projection.channels; ++c)
        projection.d_conv[o * projection.channels + c] = sum[c * projection.outs + o];
  }

  Gradient transition_back(const Block& block, const Block& next, const Gradient& after) {
    Gradient gradient = gradient_of(block);
    if (block.pools) pooled_transition_back(block, next, after, gradient);
    else
      project_back<Into::gradient>(block, block.last, gradient,
                                   [&](Index o) { return whole(next, after, o); });
    return gradient;
  }

  void pooled_transition_back(const Block& block, const Block& next, const Gradient& after,
                              Gradient& gradient) {
    const Projection& last = block.last;
    Affine<T> affine = batch_affine(last.norm, block.of_x, block.channels);
    Index c_in = block.channels, outs = last.outs, group = pooled_group(block, next);
    Packed<T> w(c_in, outs, [&](Index c, Index o) { return last.conv[o * c_in + c]; });
    Partial<T> d_conv(c_in * outs);
    Partial<double> partial(2 * c_in);
    parallel(ceil_div(s.n, group), [&](int thread, Index i) {
      Index image = i * group, images = std::min(group, s.n - image);
      Index length = images * next.h * next.w, pitch = round_up(length, LANES<T>) + LANES<T>;
      T* d = scratch<T>(outs * pitch, 0);
      T* rows = scratch<T>(2 * OUTS * pitch, 1);
      std::vector<const T*> d_rows(outs), y_rows(OUTS);
      for (Index o = 0; o < outs; ++o) {
        auto from = whole(next, after, o);
        T* row = d + o * pitch;
        d_rows[o] = row;
        Index offset = image * next.h * next.w;
        for (Index p = 0; p < length; p += LANES<T>) store(row + p, from(offset + p));
        std::fill(row + length, row + pitch, T(0));
      }
      for (Index b = 0; b < w.blocks.blocks; ++b) {
        Index first = w.blocks.begin(b), count = w.blocks.size(b);
        T *y = rows, *d_y = rows + OUTS * pitch;
        accumulate(w, b, d_rows.data(), d_y, pitch, length);
        for (Index c = first; c < first + count; ++c) {
          y_rows[c - first] = y + (c - first) * pitch;
          pool_maps(block, next, affine, c, image, images, y + (c - first) * pitch);
          add(partial, thread, c,
              unpool_maps(block, next, affine, c, image, images, d_y + (c - first) * pitch,
                          gradient.dx.get()));
        }
        correlate(y_rows.data(), count, d_rows.data(), outs, length, d_conv.of(thread) + first * outs,
                  outs);
      }
    });
    hand_over(last, d_conv);
    settle(block, last.norm, partial, c_in, gradient);
  }

  // Each pooled pixel's gradient goes to its four; an odd last row or column gets none.
  Sums unpool_maps(const Block& block, const Block& next, const Affine<T>& affine, Index c,
                   Index image, Index images, const T* pooled, T* dx) const {
    Index w = block.w, hw = block.h * w;
    T* spread = scratch<T>(hw, 2);
    std::fill_n(spread, hw, T(0));
    Sums sums;
    for (Index i = image; i < image + images; ++i) {
      for (Index r = 0; r < 2 * next.h; ++r) {
        const T* from = pooled + ((i - image) * next.h + r / 2) * next.w;
        for (Index x = 0; x < 2 * next.w; ++x) spread[r * w + x] = from[x / 2] / 4;
      }
      Index at = c * block.pixels + i * hw;
      Sums map = consume<Into::gradient>(block.x + at, spread, dx + at, hw, affine.a[c],
                                         affine.b[c], block.of_x.mean[c]);
      sums.g += map.g;
      sums.g_apart += map.g_apart;
    }
    return sums;
  }

  // Down to the images' gradient, or the stem's.
  void stem_back(const T* images, const Gradient& gradient, T* d_images) {
    Block& block = blocks[0];
    Index outs = s.widths[0], hw = s.h * s.w;
    if (!s.in_channels && !d_images) return;
    if (!s.in_channels) {
      parallel(s.n, [&](int, Index i) {
        T* row = scratch<T>(round_up(hw, LANES<T>), 0);
        for (Index c = 0; c < outs; ++c) {
          auto d = whole(block, gradient, c);
          for (Index at = 0; at < hw; at += LANES<T>) store(row + at, d(i * hw + at));
          std::copy_n(row, hw, d_images + (i * outs + c) * hw);
        }
      });
      return;
    }
    Index c_in = s.in_channels;
    std::vector<T> turned(c_in * block.pixels + LANES<T>);
    turn(images, c_in, turned.data());
    Partial<T> d_conv(outs * 9 * c_in);
    Patches<T> cut(s.n, block.h, block.w, c_in + outs);
    parallel(cut.count(), [&](int thread, Index index) {
      Patch<T> patch(cut, index);
      Index pitch = cut.pitch();
      T* lines = scratch<T>((c_in + outs) * pitch, 0) + cut.front();
      std::vector<const T*> rows(outs), taps;
      for (Index c = 0; c < c_in; ++c) {
        const T* from = turned.data() + c * block.pixels;
        patch.fill(lines + c * pitch, [&](Index at, T* line) { store(line, load(from + at)); });
      }
      for (Index o = 0; o < outs; ++o) {
        T* line = lines + (c_in + o) * pitch;
        auto d = whole(block, gradient, o);
        patch.fill(line, [&](Index at, T* to) { store(to, d(at)); });
        patch.clear_below(line);
        rows[o] = line + patch.first();
      }
      patch.taps(lines, c_in, 1, taps);
      correlate(rows.data(), outs, taps.data(), 9 * c_in, patch.length(), d_conv.of(thread),
                9 * c_in);
    });
    std::copy_n(d_conv.sum(), d_conv.size, d_stem);
  }
};

}  // namespace

// ------------------------------------------------------------------ what cpu.py calls

using Scalar = SCALAR;  // float or double: a library each

// 0, or 1 where there is too little memory.
template <class F> int attempt(int team, F call) {
  threads = team;
  try {
    call();
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

extern "C" int saved_size(const Shape* shape, int team, Scalar* const* params,
                          Scalar* const* running, Index* size) {
  return attempt(team, [&] {
    *size = Network<Scalar>(*shape, true, params, running, nullptr).saved_size();
  });
}

extern "C" int forward(const Shape* shape, int team, Scalar* const* params, Scalar* const* running,
                       const Scalar* images, Scalar* saved, Scalar* out) {
  return attempt(team, [&] {
    Network<Scalar>(*shape, true, params, running, nullptr).forward(images, saved, out);
  });
}

extern "C" int infer(const Shape* shape, int team, Scalar* const* params, Scalar* const* running,
                     const Scalar* images, Scalar* out) {
  return attempt(team, [&] {
    Network<Scalar>(*shape, false, params, running, nullptr).infer(images, out);
  });
}

extern "C" int backward(const Shape* shape, int team, Scalar* const* params, Scalar* const* running,
                        Scalar* const* grads, const Scalar* images, Scalar* saved,
                        const Scalar* d_out, Scalar* d_images) {
  return attempt(team, [&] {
    Network<Scalar>(*shape, true, params, running, grads).backward(images, saved, d_out, d_images);
  });
}
