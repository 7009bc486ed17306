// Selective scan along several orders.
//
// A task is a group of channels of one (image, order), of which a vector of channels, a block, goes through
// a chunk of steps at a time. What the steps need lies in small arrays then, in the order of the scan: only
// reading and writing them knows of orders and of how tensors lie in memory. Of the N states some are in
// registers at a time, each a vector of channels, and B and C are broadcast to it.
#pragma once

#include "buffer.h"
#include "vec.h"

namespace {

struct Shape {
  int64_t batch, paths, length, channels, states;
};

// Numbers of each image, order, token and channel (or state), with the elements between two of each
template <class T>
struct View {
  const T* data;
  int64_t image, path, token, channel;

  const T* at(int64_t b, int64_t k) const { return data + b * image + k * path; }
};

template <class T>
struct Scan {
  Shape shape;
  View<T> u, delta, B, C;
  const T *A, *D, *bias;  // A is (K or 1, N, E), D and bias (K or 1, E)
  const T* dt_weight;  // (K or 1, rank, E): delta is given as (B, K, L, rank) and projected here; or null
  const int64_t* orders;
  int64_t A_path, D_path, bias_path, dt_weight_path;  // elements between two orders; 0 where shared
  int64_t rank;
  int64_t chunk;  // steps between two kept states
  bool use_softplus;

  int64_t blocks() const { return (shape.channels + kLanes<T> - 1) / kLanes<T>; }
  int64_t chunks() const { return (shape.length + chunk - 1) / chunk; }
};

template <class T>
struct Task {
  const Scan<T>& s;
  int64_t b, k, group, first_block, last_block;

  Task(const Scan<T>& scan, int64_t index, int64_t groups) : s(scan) {
    group = index % groups;
    k = index / groups % s.shape.paths;
    b = index / groups / s.shape.paths;
    first_block = s.blocks() * group / groups;
    last_block = s.blocks() * (group + 1) / groups;
  }
  int64_t sequence() const { return b * s.shape.paths + k; }
  int64_t token(int64_t t) const { return s.orders ? s.orders[k * s.shape.length + t] : t; }
  // Rows of B or C of the steps, one after the other
  void read_rows(const View<T>& view, int64_t start, int64_t steps, T* rows) const {
    const T* from = view.at(b, k);
    const int64_t states = s.shape.states;
    for (int64_t t = 0; t < steps; ++t) {
      const T* row = from + token(start + t) * view.token;
      for (int64_t n = 0; n < states; ++n) rows[t * states + n] = row[n * view.channel];
    }
  }
};

// The larger one of a size and |x|; a NaN is the largest
template <class T>
inline Vec<T> larger(Vec<T> size, Vec<T> x) {
  const Vec<T> of_x = x < T(0) ? -x : x;
  return of_x <= size ? size : of_x;
}

// A block of channels of a task
template <class T>
struct Block {
  const Task<T>& task;
  const Scan<T>& s;
  int64_t channel;
  int lanes;
  Vec<T> bias, skip;

  Block(const Task<T>& t, int64_t block) : task(t), s(t.s), channel(block * kLanes<T>) {
    lanes = lanes_at<T>(channel, s.shape.channels);
    bias = s.bias ? load(s.bias + t.k * s.bias_path + channel, lanes) : Vec<T>{};
    skip = s.D ? load(s.D + t.k * s.D_path + channel, lanes) : Vec<T>{};
  }
  // of a tensor (B, K, N, E)
  int64_t state(int64_t n) const {
    return (task.sequence() * s.shape.states + n) * s.shape.channels + channel;
  }
  // of a tensor (B, K, L, E)
  int64_t at(int64_t token) const {
    return (task.sequence() * s.shape.length + token) * s.shape.channels + channel;
  }

  // A times log2(e), so that a step's decay is one power of two; the largest of each channel
  Vec<T> load_A(Vec<T>* A) const {
    Vec<T> largest{};
    for (int64_t n = 0; n < s.shape.states; ++n) {
      const T* p = s.A + task.k * s.A_path + n * s.shape.channels + channel;
      A[n] = load(p, lanes) * T(kLog2E);
      largest = larger<T>(largest, A[n]);
    }
    return largest;
  }
  void load_dt_weight(Vec<T>* weight) const {
    if (!s.dt_weight) return;
    const T* p = s.dt_weight + task.k * s.dt_weight_path + channel;
    for (int64_t r = 0; r < s.rank; ++r) weight[r] = load(p + r * s.shape.channels, lanes);
  }

  // The steps' rows; those of the next block are asked for, so that they come while this one is computed
  void read(const View<T>& view, int64_t start, int64_t steps, Vec<T>* x) const {
    const T* from = view.at(task.b, task.k) + channel * view.channel;
    for (int64_t t = 0; t < steps; ++t) {
      const T* p = from + task.token(start + t) * view.token;
      x[t] = load(p, lanes, view.channel);
      __builtin_prefetch(p + kLanes<T> * view.channel, 0, 2);
    }
  }
  // The step sizes, and their slopes over the raw ones; whether all decays are normal numbers. Loops of
  // their own: no step waits for another.
  bool read_steps(int64_t start, int64_t steps, const Vec<T>* weight, Vec<T> largest_A, Vec<T>* delta,
                  Vec<T>* slope = nullptr) const {
    if (s.dt_weight)
      project(start, steps, weight, delta);
    else
      read(s.delta, start, steps, delta);
    Vec<T> largest{};
    for (int64_t t = 0; t < steps; ++t) {
      const Vec<T> raw = delta[t] + bias;
      if (s.use_softplus) {
        delta[t] = softplus<T>(raw, slope ? slope + t : nullptr);
      } else {
        delta[t] = raw;
        if (slope) slope[t] = Vec<T>{} + T(1);
      }
      largest = larger<T>(largest, delta[t]);
    }
    largest *= largest_A;
    bool tame = true;
    for (int i = 0; i < lanes; ++i) tame = tame && largest[i] <= T(-kLowest);
    return tame;
  }
  // Some steps at a time, so that the sums of one need not wait for each other
  void project(int64_t start, int64_t steps, const Vec<T>* weight, Vec<T>* raw) const {
    constexpr int kSteps = 4;
    const T* from = s.delta.at(task.b, task.k);
    for (int64_t t = 0; t < steps; t += kSteps) {
      const T* rows[kSteps];
      Vec<T> sums[kSteps] = {};
      for (int j = 0; j < kSteps; ++j)
        rows[j] = from + task.token(start + (t + j < steps ? t + j : t)) * s.delta.token;
      for (int64_t r = 0; r < s.rank; ++r)
        for (int j = 0; j < kSteps; ++j) sums[j] += rows[j][r * s.delta.channel] * weight[r];
      for (int j = 0; j < kSteps && t + j < steps; ++j) raw[t + j] = sums[j];
    }
  }
};

// States in registers at a time
constexpr int kTile = 4;

template <int kCount>
struct Count {
  static constexpr int value = kCount;
};

// f(first state, how many as a constant) for all states
template <class F>
inline void for_tiles(int64_t states, F f) {
  int64_t first = 0;
  for (; first + kTile <= states; first += kTile) f(first, Count<kTile>());
  for (; first < states; ++first) f(first, Count<1>());
}

// Steps of a block and of a few states, `A` and `state` from the first of them. Of B and C these states'
// are read; `out` is added to.
template <bool kTame, int kStates, class T>
void advance(int64_t steps, int64_t states, const Vec<T>* delta, const Vec<T>* drive, const T* B,
             const T* C, const Vec<T>* A, Vec<T>* state, Vec<T>* out) {
  Vec<T> a[kStates], h[kStates];
  for (int n = 0; n < kStates; ++n) a[n] = A[n], h[n] = state[n];
  for (int64_t t = 0; t < steps; ++t, B += states, C += states) {
    const Vec<T> d = delta[t], x = drive[t];
    Vec<T> sum = out[t];
#pragma GCC unroll 8
    for (int n = 0; n < kStates; ++n) {
      h[n] = exp2<kTame>(d, a[n]) * h[n] + x * B[n];
      sum += h[n] * C[n];
    }
    out[t] = sum;
  }
  for (int n = 0; n < kStates; ++n) state[n] = h[n];
}

template <class T>
void forward_task(const Task<T>& task, T* y, T* last, T* kept) {
  const Scan<T>& s = task.s;
  const int64_t states = s.shape.states, length = s.shape.length, channels = s.shape.channels;
  const int64_t kept_size = s.shape.batch * s.shape.paths * states * channels;
  const int64_t blocks = task.last_block - task.first_block;
  Buffer<Vec<T>> A(blocks * states), largest(blocks), weight(blocks * s.rank), state(blocks * states);
  Buffer<Vec<T>> delta(s.chunk), drive(s.chunk), out(s.chunk);
  Buffer<T> B(s.chunk * states), C(s.chunk * states);
  for (int64_t i = 0; i < blocks; ++i) {
    const Block<T> block(task, task.first_block + i);
    largest[i] = block.load_A(&A[i * states]);
    block.load_dt_weight(&weight[i * s.rank]);
  }
  for (int64_t c = 0; c < s.chunks(); ++c) {
    const int64_t start = c * s.chunk, steps = start + s.chunk < length ? s.chunk : length - start;
    task.read_rows(s.B, start, steps, B.data());
    task.read_rows(s.C, start, steps, C.data());
    for (int64_t i = 0; i < blocks; ++i) {
      const Block<T> block(task, task.first_block + i);
      Vec<T>* h = &state[i * states];
      if (kept)
        for (int64_t n = 0; n < states; ++n)
          store(kept + c * kept_size + block.state(n), h[n], block.lanes);
      const bool tame = block.read_steps(start, steps, &weight[i * s.rank], largest[i], delta.data());
      block.read(s.u, start, steps, drive.data());
      for (int64_t t = 0; t < steps; ++t) {
        out[t] = block.skip * drive[t];
        drive[t] *= delta[t];
      }
      for_tiles(states, [&](int64_t first, auto count) {
        constexpr int kStates = decltype(count)::value;
        (tame ? advance<true, kStates, T>
              : advance<false, kStates, T>)(steps, states, delta.data(), drive.data(), &B[first], &C[first],
                                            &A[i * states + first], h + first, out.data());
      });
      for (int64_t t = 0; t < steps; ++t) store(y + block.at(task.token(start + t)), out[t], block.lanes);
    }
  }
  for (int64_t i = 0; i < blocks; ++i) {
    const Block<T> block(task, task.first_block + i);
    for (int64_t n = 0; n < states; ++n) store(last + block.state(n), state[i * states + n], block.lanes);
  }
}

template <class T>
struct Gradients {
  View<T> y;
  const T *last, *kept;
  T *u, *delta;     // (B, K, L, E)
  T *B, *C;         // (groups, B, K, L, N)
  T *A, *D, *bias;  // (B, K, N, E), (B, K, E), (B, K, E)
};

// What the steps of a chunk leave behind for a few states: their decays, the states before and after them,
// and the sums over blocks that dB and dC need, as vectors of channels
template <class T>
struct Trace {
  Buffer<Vec<T>> decay, state, dB, dC;

  explicit Trace(int64_t chunk)
      : decay(chunk * kTile), state((chunk + 1) * kTile), dB(chunk * kTile), dC(chunk * kTile) {}
};

// Backward of a block through a chunk for a few states: its steps again from the kept state, then the
// adjoint through them in reverse. Arguments as in advance(); `to_B` and `to_A` sum over the states what
// reaches the step sizes and u, through B and through the decay.
template <bool kTame, int kStates, class T>
void retrace(int64_t steps, int64_t states, const Vec<T>* delta, const Vec<T>* u, const Vec<T>* dy,
             const T* B, const T* C, const Vec<T>* A, Vec<T>* adjoint, Vec<T>* dA, Vec<T>* to_B,
             Vec<T>* to_A, Trace<T>& trace) {
  Vec<T> a[kStates], h[kStates], g[kStates], grad_a[kStates];
  Vec<T>*decay = trace.decay.data(), *kept = trace.state.data();
  Vec<T>*dB = trace.dB.data(), *dC = trace.dC.data();
  for (int n = 0; n < kStates; ++n) a[n] = A[n], h[n] = kept[n];
  for (int64_t t = 0; t < steps; ++t) {
    const Vec<T> d = delta[t], x = d * u[t];
    const T* row = B + t * states;
#pragma GCC unroll 8
    for (int n = 0; n < kStates; ++n) {
      const Vec<T> decayed = exp2<kTame>(d, a[n]);
      h[n] = decayed * h[n] + x * row[n];
      decay[t * kStates + n] = decayed;
      kept[(t + 1) * kStates + n] = h[n];
    }
  }
  for (int n = 0; n < kStates; ++n) g[n] = adjoint[n], grad_a[n] = dA[n];
  for (int64_t t = steps - 1; t >= 0; --t) {
    const Vec<T> d = delta[t], x = d * u[t], dout = dy[t];
    const T *row_B = B + t * states, *row_C = C + t * states;
    Vec<T> through_B = to_B[t], through_A = to_A[t];
#pragma GCC unroll 8
    for (int n = 0; n < kStates; ++n) {
      const int64_t at = t * kStates + n;
      g[n] += dout * row_C[n];
      dC[at] += dout * kept[at + kStates];
      dB[at] += g[n] * x;
      through_B += g[n] * row_B[n];
      g[n] *= decay[at];
      const Vec<T> q = g[n] * kept[at];
      through_A += q * a[n];
      grad_a[n] += q * d;
    }
    to_B[t] = through_B;
    to_A[t] = through_A;
  }
  for (int n = 0; n < kStates; ++n) adjoint[n] = g[n], dA[n] = grad_a[n];
}

// Backward of a task, chunk by chunk from the end. So that what it works on stays in the second cache, it
// goes through its blocks in strips.
template <class T>
void backward_task(const Task<T>& task, const Gradients<T>& grad) {
  constexpr int64_t kStripBytes = 1 << 17;
  const Scan<T>& s = task.s;
  const int64_t states = s.shape.states, length = s.shape.length, chunk = s.chunk;
  const int64_t sequences = s.shape.batch * s.shape.paths;
  const int64_t kept_size = sequences * states * s.shape.channels;
  const int64_t fitting = kStripBytes / (6 * chunk * int64_t(sizeof(Vec<T>)));
  const int64_t all = task.last_block - task.first_block;
  const int64_t strips = fitting < 1 ? all : (all + fitting - 1) / fitting;
  const int64_t most = strips ? (all + strips - 1) / strips : 0;
  Buffer<Vec<T>> A(most * states), adjoint(most * states), dA(most * states), weight(most * s.rank);
  Buffer<Vec<T>> largest(most), dD(most), dbias(most);
  // of each block and step
  Buffer<Vec<T>> delta(most * chunk), slope(most * chunk), u(most * chunk), dy(most * chunk);
  Buffer<Vec<T>> to_B(most * chunk), to_A(most * chunk);
  Buffer<bool> tame(most);
  Buffer<T> B(chunk * states), C(chunk * states);
  Trace<T> trace(chunk);

  for (int64_t strip = 0; strip < strips; ++strip) {
    const int64_t first_block = task.first_block + all * strip / strips;
    const int64_t blocks = task.first_block + all * (strip + 1) / strips - first_block;
    for (auto* zeroed : {&dA, &dD, &dbias}) zeroed->clear();
    for (int64_t i = 0; i < blocks; ++i) {
      const Block<T> block(task, first_block + i);
      largest[i] = block.load_A(&A[i * states]);
      block.load_dt_weight(&weight[i * s.rank]);
      for (int64_t n = 0; n < states; ++n)
        adjoint[i * states + n] = grad.last ? load(grad.last + block.state(n), block.lanes) : Vec<T>{};
    }
    for (int64_t c = s.chunks() - 1; c >= 0; --c) {
      const int64_t start = c * chunk, steps = start + chunk < length ? chunk : length - start;
      task.read_rows(s.B, start, steps, B.data());
      task.read_rows(s.C, start, steps, C.data());
      for (int64_t i = 0; i < blocks; ++i) {
        const Block<T> block(task, first_block + i);
        const int64_t at = i * chunk;
        tame[i] = block.read_steps(start, steps, &weight[i * s.rank], largest[i], &delta[at], &slope[at]);
        block.read(s.u, start, steps, &u[at]);
        block.read(grad.y, start, steps, &dy[at]);
      }
      to_B.clear();
      to_A.clear();
      for_tiles(states, [&](int64_t first, auto count) {
        constexpr int kStates = decltype(count)::value;
        trace.dB.clear();
        trace.dC.clear();
        for (int64_t i = 0; i < blocks; ++i) {
          const Block<T> block(task, first_block + i);
          const int64_t at = i * chunk, of_tile = i * states + first;
          for (int n = 0; n < kStates; ++n)
            trace.state[n] = load(grad.kept + c * kept_size + block.state(first + n), block.lanes);
          (tame[i] ? retrace<true, kStates, T>
                   : retrace<false, kStates, T>)(steps, states, &delta[at], &u[at], &dy[at], &B[first],
                                                 &C[first], &A[of_tile], &adjoint[of_tile], &dA[of_tile],
                                                 &to_B[at], &to_A[at], trace);
        }
        for (int64_t t = 0; t < steps; ++t) {
          const int64_t token = task.token(start + t);
          const int64_t at = ((task.group * sequences + task.sequence()) * length + token) * states + first;
          for (int n = 0; n < kStates; ++n) {
            const T b = sum<T>(trace.dB[t * kStates + n]), c = sum<T>(trace.dC[t * kStates + n]);
            grad.B[at + n] = strip ? grad.B[at + n] + b : b;
            grad.C[at + n] = strip ? grad.C[at + n] + c : c;
          }
        }
      });
      for (int64_t i = 0; i < blocks; ++i) {
        const Block<T> block(task, first_block + i);
        for (int64_t t = 0; t < steps; ++t) {
          const int64_t from = i * chunk + t, to = block.at(task.token(start + t));
          // A carries log2(e)
          const Vec<T> ddelta = (to_B[from] * u[from] + to_A[from] * T(0.6931471805599453)) * slope[from];
          store(grad.delta + to, ddelta, block.lanes);
          store(grad.u + to, to_B[from] * delta[from] + block.skip * dy[from], block.lanes);
          dD[i] += dy[from] * u[from];
          dbias[i] += ddelta;
        }
      }
    }
    for (int64_t i = 0; i < blocks; ++i) {
      const Block<T> block(task, first_block + i);
      const int64_t at = task.sequence() * s.shape.channels + block.channel;
      for (int64_t n = 0; n < states; ++n) store(grad.A + block.state(n), dA[i * states + n], block.lanes);
      store(grad.D + at, dD[i], block.lanes);
      store(grad.bias + at, dbias[i], block.lanes);
    }
  }
}

template <class T>
void scan_forward(const Scan<T>& s, T* y, T* last, T* kept, int64_t groups, int threads) {
  const int64_t tasks = s.shape.batch * s.shape.paths * groups;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t i = 0; i < tasks; ++i) forward_task(Task<T>(s, i, groups), y, last, kept);
}

template <class T>
void scan_backward(const Scan<T>& s, const Gradients<T>& grad, int64_t groups, int threads) {
  const int64_t tasks = s.shape.batch * s.shape.paths * groups;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t i = 0; i < tasks; ++i) backward_task(Task<T>(s, i, groups), grad);
}

}  // namespace
