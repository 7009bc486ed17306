// Selective scan and causal convolution along several orders, on the CPU.
//
// Layouts are those of rsmamba_mm/ops/scan.py: tokens in their own order, channels last. A task is a
// group of channels of one (image, order): its states live in registers, one vector of channels for each
// of the N states, and B and C are broadcast to it. `orders` is read as an index: nothing is copied.
//
// Built without PyTorch's headers, so that it compiles in seconds and fits every version; the symbols of
// OpenMP are found in the runtime that PyTorch has loaded, whose threads it shares.
#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "gate_cpu.h"
#include "vec.h"

namespace {

struct Shape {
  int64_t batch, paths, length, channels, states;
};

// kStates in what follows is N at compile time, where 0 stands for any up to this
constexpr int kMaxStates = 256;

template <class T>
struct Scan {
  Shape shape;
  const T *u, *delta, *A, *B, *C, *D, *bias;  // A is (K or 1, N, E)
  const int64_t* orders;
  int64_t u_path, A_path, D_path, bias_path;  // elements between two orders; 0 where shared
  int64_t delta_row, B_row, C_row;            // elements between two tokens
  int64_t chunk;                              // steps between two kept states
  bool use_softplus;
  const T* dt_weight;  // (rank, E): delta is given as (B, K, L, rank) and projected here; or null
  int64_t rank;

  int64_t blocks() const { return (shape.channels + kLanes<T> - 1) / kLanes<T>; }
  int64_t chunks() const { return (shape.length + chunk - 1) / chunk; }
};

template <class T>
int lanes_at(int64_t channel, int64_t channels) {
  return int(std::min<int64_t>(kLanes<T>, channels - channel));
}

// One group of channel blocks of one (image, order)
struct Task {
  int64_t b, k, first_block, last_block, group;
};

template <class T>
Task task_of(const Scan<T>& s, int64_t index, int64_t groups) {
  Task task;
  task.group = index % groups;
  task.k = index / groups % s.shape.paths;
  task.b = index / groups / s.shape.paths;
  task.first_block = s.blocks() * task.group / groups;
  task.last_block = s.blocks() * (task.group + 1) / groups;
  return task;
}

// Where one block of one task finds its rows
template <class T>
struct Rows {
  const T *u, *delta, *B, *C;
  const Vec<T>* dt_weight;
  const int64_t* order;
  int lanes;
  int64_t channel, channels, rank, delta_row, B_row, C_row;
  Vec<T> bias, skip;
  bool use_softplus;

  // `weights` holds the vectors of dt_weight for the task's blocks, rank by rank
  Rows(const Scan<T>& s, const Task& task, int64_t block, const std::vector<Vec<T>>& weights) {
    const Shape& n = s.shape;
    const int64_t sequence = task.b * n.paths + task.k;
    channel = block * kLanes<T>;
    channels = n.channels;
    lanes = lanes_at<T>(channel, channels);
    const int64_t u_sequence = s.u_path ? sequence : task.b;
    u = s.u + u_sequence * n.length * channels + channel;
    delta_row = s.delta_row;
    delta = s.delta + sequence * n.length * delta_row + (s.dt_weight ? 0 : channel);
    rank = s.rank;
    dt_weight = s.dt_weight ? &weights[(block - task.first_block) * rank] : nullptr;
    B = s.B + sequence * n.length * s.B_row;
    C = s.C + sequence * n.length * s.C_row;
    B_row = s.B_row;
    C_row = s.C_row;
    order = s.orders ? s.orders + task.k * n.length : nullptr;
    bias = s.bias ? load(s.bias + task.k * s.bias_path + channel, lanes) : Vec<T>{};
    skip = s.D ? load(s.D + task.k * s.D_path + channel, lanes) : Vec<T>{};
    use_softplus = s.use_softplus;
  }
  int64_t token(int64_t t) const { return order ? order[t] : t; }
  Vec<T> raw_delta(int64_t i) const {
    const T* row = delta + i * delta_row;
    if (!dt_weight) return load(row, lanes) + bias;
    Vec<T> even = bias, odd{};  // two shorter chains of additions
    int64_t r = 0;
    for (; r + 2 <= rank; r += 2) {
      even += row[r] * dt_weight[r];
      odd += row[r + 1] * dt_weight[r + 1];
    }
    return r < rank ? even + odd + row[r] * dt_weight[r] : even + odd;
  }
  Vec<T> positive(Vec<T> raw) const { return use_softplus ? softplus<T>(raw) : raw; }
};

template <class T>
std::vector<Vec<T>> load_dt_weight(const Scan<T>& s, const Task& task) {
  std::vector<Vec<T>> weights;
  if (!s.dt_weight) return weights;
  for (int64_t block = task.first_block; block < task.last_block; ++block) {
    const int64_t channel = block * kLanes<T>;
    for (int64_t r = 0; r < s.rank; ++r)
      weights.push_back(load(s.dt_weight + r * s.shape.channels + channel,
                             lanes_at<T>(channel, s.shape.channels)));
  }
  return weights;
}

// A times log2(e), so that a step's decay is one power of two
template <class T, int kStates>
void load_A(const Scan<T>& s, const Task& task, const Rows<T>& rows, Vec<T>* A) {
  const int states = kStates ? kStates : int(s.shape.states);
  for (int n = 0; n < states; ++n) {
    const T* p = s.A + task.k * s.A_path + n * s.shape.channels + rows.channel;
    A[n] = load(p, rows.lanes) * T(1.4426950408889634);
  }
}

// Forward of a task, chunk by chunk, so that the rows of a chunk are read while they are in cache
template <class T, int kStates>
void forward_task(const Scan<T>& s, const Task& task, T* y, T* last, T* kept) {
  const int states = kStates ? kStates : int(s.shape.states);
  constexpr int kArray = kStates ? kStates : kMaxStates;
  const int64_t length = s.shape.length, channels = s.shape.channels;
  const int64_t sequence = task.b * s.shape.paths + task.k;
  const int64_t state_size = s.shape.batch * s.shape.paths * states * channels;
  const int64_t blocks = task.last_block - task.first_block;
  // std::vector of an over-aligned type is aligned since C++17
  const std::vector<Vec<T>> weights = load_dt_weight(s, task);
  std::vector<Vec<T>> A(blocks * states), state(blocks * states, Vec<T>{});
  for (int64_t block = 0; block < blocks; ++block)
    load_A<T, kStates>(s, task, Rows<T>(s, task, task.first_block + block, weights), &A[block * states]);

  for (int64_t c = 0; c < s.chunks(); ++c) {
    const int64_t start = c * s.chunk, stop = std::min(start + s.chunk, length);
    for (int64_t block = 0; block < blocks; ++block) {
      const Rows<T> rows(s, task, task.first_block + block, weights);
      const Vec<T>* a = &A[block * states];
      Vec<T> h[kArray];
      std::copy_n(&state[block * states], states, h);
      if (kept) {
        T* p = kept + c * state_size + sequence * states * channels + rows.channel;
        for (int n = 0; n < states; ++n) store(p + n * channels, h[n], rows.lanes);
      }
      T* out = y + sequence * length * channels + rows.channel;
      for (int64_t t = start; t < stop; ++t) {
        const int64_t i = rows.token(t);
        const Vec<T> delta = rows.positive(rows.raw_delta(i));
        const Vec<T> u = load(rows.u + i * channels, rows.lanes);
        const Vec<T> drive = delta * u;
        const T *B = rows.B + i * rows.B_row, *C = rows.C + i * rows.C_row;
        Vec<T> sums[2] = {rows.skip * u, Vec<T>{}};  // two shorter chains of additions
#pragma GCC unroll 16
        for (int n = 0; n < states; ++n) {
          h[n] = exp2(delta * a[n]) * h[n] + drive * B[n];
          sums[n % 2] += h[n] * C[n];
        }
        store(out + i * channels, sums[0] + sums[1], rows.lanes);
      }
      std::copy_n(h, states, &state[block * states]);
    }
  }
  for (int64_t block = 0; block < blocks; ++block) {
    const Rows<T> rows(s, task, task.first_block + block, weights);
    T* p = last + sequence * states * channels + rows.channel;
    for (int n = 0; n < states; ++n) store(p + n * channels, state[block * states + n], rows.lanes);
  }
}

template <class T>
struct Gradients {
  const T *y, *last, *kept;
  T *u, *delta;       // (B, K, L, E)
  T *B, *C;           // (groups, B, K, L, N)
  T *A, *D, *bias;    // (B, K, N, E), (B, K, E), (B, K, E)
};

// Backward of a task, chunk by chunk from the end: run the chunk again from its kept state, then the
// adjoint through it in reverse. The sums over channels that dB and dC need are held as vectors, and
// added up across their lanes once a chunk.
template <class T, int kStates>
void backward_task(const Scan<T>& s, const Task& task, const Gradients<T>& grad) {
  const int states = kStates ? kStates : int(s.shape.states);
  constexpr int kArray = kStates ? kStates : kMaxStates;
  const int64_t length = s.shape.length, channels = s.shape.channels;
  const int64_t sequence = task.b * s.shape.paths + task.k;
  const int64_t sequences = s.shape.batch * s.shape.paths;
  const int64_t state_size = sequences * states * channels;
  const int64_t blocks = task.last_block - task.first_block;
  const int64_t span = s.chunk * states;
  const std::vector<Vec<T>> weights = load_dt_weight(s, task);
  std::vector<Vec<T>> decay(span), after(span + states), dB(span), dC(span);
  std::vector<Vec<T>> adjoint(blocks * states), dA(blocks * states, Vec<T>{});
  std::vector<Vec<T>> dD(blocks, Vec<T>{}), dbias(blocks, Vec<T>{});

  for (int64_t block = 0; block < blocks; ++block) {
    const Rows<T> rows(s, task, task.first_block + block, weights);
    for (int n = 0; n < states; ++n) {
      const T* p = grad.last + (sequence * states + n) * channels + rows.channel;
      adjoint[block * states + n] = grad.last ? load(p, rows.lanes) : Vec<T>{};
    }
  }
  for (int64_t c = s.chunks() - 1; c >= 0; --c) {
    const int64_t start = c * s.chunk, steps = std::min(s.chunk, length - start);
    std::fill(dB.begin(), dB.end(), Vec<T>{});
    std::fill(dC.begin(), dC.end(), Vec<T>{});
    for (int64_t block = 0; block < blocks; ++block) {
      const Rows<T> rows(s, task, task.first_block + block, weights);
      Vec<T> A[kArray];
      load_A<T, kStates>(s, task, rows, A);

      const T* kept = grad.kept + c * state_size + sequence * states * channels + rows.channel;
      for (int n = 0; n < states; ++n) after[n] = load(kept + n * channels, rows.lanes);
      for (int64_t t = 0; t < steps; ++t) {
        const int64_t i = rows.token(start + t);
        const Vec<T> delta = rows.positive(rows.raw_delta(i));
        const Vec<T> drive = delta * load(rows.u + i * channels, rows.lanes);
        const T* B = rows.B + i * rows.B_row;
        const Vec<T>* before = &after[t * states];
        Vec<T>*a = &decay[t * states], *h = &after[(t + 1) * states];
#pragma GCC unroll 16
        for (int n = 0; n < states; ++n) {
          a[n] = exp2(delta * A[n]);
          h[n] = a[n] * before[n] + drive * B[n];
        }
      }

      Vec<T> g[kArray], dA_block[kArray];
      for (int n = 0; n < states; ++n) {
        g[n] = adjoint[block * states + n];
        dA_block[n] = dA[block * states + n];
      }
      for (int64_t t = steps - 1; t >= 0; --t) {
        const int64_t i = rows.token(start + t);
        const int64_t at = (sequence * length + i) * channels + rows.channel;
        const Vec<T> raw = rows.raw_delta(i), delta = rows.positive(raw);
        const Vec<T> u = load(rows.u + i * channels, rows.lanes), drive = delta * u;
        const Vec<T> dy = load(grad.y + at, rows.lanes);
        const T *B = rows.B + i * rows.B_row, *C = rows.C + i * rows.C_row;
        const Vec<T>*a = &decay[t * states], *before = &after[t * states];
        const Vec<T>* h = before + states;
        Vec<T>*dB_t = &dB[t * states], *dC_t = &dC[t * states];
        Vec<T> through_B{}, through_A{};
#pragma GCC unroll 16
        for (int n = 0; n < states; ++n) {
          g[n] += dy * C[n];
          dC_t[n] += dy * h[n];
          dB_t[n] += g[n] * drive;
          through_B += g[n] * B[n];
          g[n] *= a[n];
          const Vec<T> q = g[n] * before[n];
          through_A += q * A[n];
          dA_block[n] += q * delta;
        }
        // A carries log2(e)
        Vec<T> ddelta = through_B * u + through_A * T(0.6931471805599453);
        if (s.use_softplus) ddelta *= sigmoid<T>(raw);
        store(grad.delta + at, ddelta, rows.lanes);
        store(grad.u + at, through_B * delta + rows.skip * dy, rows.lanes);
        dD[block] += dy * u;
        dbias[block] += ddelta;
      }
      for (int n = 0; n < states; ++n) {
        adjoint[block * states + n] = g[n];
        dA[block * states + n] = dA_block[n];
      }
    }
    for (int64_t t = 0; t < steps; ++t) {
      const int64_t i = s.orders ? s.orders[task.k * length + start + t] : start + t;
      const int64_t at = ((task.group * sequences + sequence) * length + i) * states;
      for (int n = 0; n < states; ++n) {
        grad.B[at + n] = sum<T>(dB[t * states + n]);
        grad.C[at + n] = sum<T>(dC[t * states + n]);
      }
    }
  }
  for (int64_t block = 0; block < blocks; ++block) {
    const Rows<T> rows(s, task, task.first_block + block, weights);
    for (int n = 0; n < states; ++n) {
      T* p = grad.A + (sequence * states + n) * channels + rows.channel;
      store(p, dA[block * states + n], rows.lanes);
    }
    store(grad.D + sequence * channels + rows.channel, dD[block], rows.lanes);
    store(grad.bias + sequence * channels + rows.channel, dbias[block], rows.lanes);
  }
}

// Calls f with the number of states as a constant where it is a usual one
template <class F>
void with_states(int64_t states, F f) {
  switch (states) {
    case 4: return f(std::integral_constant<int, 4>());
    case 8: return f(std::integral_constant<int, 8>());
    case 16: return f(std::integral_constant<int, 16>());
    default: return f(std::integral_constant<int, 0>());
  }
}

template <class T>
void forward(const Scan<T>& s, T* y, T* last, T* kept, int64_t groups, int threads) {
  with_states(s.shape.states, [&](auto states) {
    const int64_t tasks = s.shape.batch * s.shape.paths * groups;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t i = 0; i < tasks; ++i)
      forward_task<T, decltype(states)::value>(s, task_of(s, i, groups), y, last, kept);
  });
}

template <class T>
void backward(const Scan<T>& s, const Gradients<T>& grad, int64_t groups, int threads) {
  with_states(s.shape.states, [&](auto states) {
    const int64_t tasks = s.shape.batch * s.shape.paths * groups;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t i = 0; i < tasks; ++i)
      backward_task<T, decltype(states)::value>(s, task_of(s, i, groups), grad);
  });
}

// causal convolution -------------------------------------------------------------------------------

constexpr int kMaxTaps = 16;

template <class T>
struct Conv {
  int64_t batch, paths, length, channels, taps;
  const T *x, *weight, *bias;  // weight is (taps, E)
  const int64_t* orders;
  int64_t x_row;  // elements between two tokens
  bool use_silu;

  // Rows of the tokens that step t of order k sees, the last one that of t itself; before the first
  // token there is a row of zeros.
  void window(int64_t b, int64_t k, int64_t t, const T* zeros, const T** rows) const {
    for (int64_t j = 0; j < taps; ++j) {
      const int64_t step = t - taps + 1 + j;
      rows[j] = step < 0 ? zeros : x + (b * length + orders[k * length + step]) * x_row;
    }
  }
  Vec<T> at(const T* const* rows, int64_t channel, int lanes) const {
    Vec<T> y = bias ? load(bias + channel, lanes) : Vec<T>{};
    for (int64_t j = 0; j < taps; ++j)
      y += load(weight + j * channels + channel, lanes) * load(rows[j] + channel, lanes);
    return y;
  }
};

template <class T>
void conv_forward(const Conv<T>& c, T* y, int threads) {
  constexpr int64_t kSteps = 64;  // of one task
  const int64_t pieces = (c.length + kSteps - 1) / kSteps;
  const std::vector<T> zeros(c.channels, T(0));
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t task = 0; task < c.batch * c.paths * pieces; ++task) {
    const int64_t start = task % pieces * kSteps, stop = std::min(start + kSteps, c.length);
    const int64_t sequence = task / pieces, k = sequence % c.paths, b = sequence / c.paths;
    const T* rows[kMaxTaps];
    for (int64_t t = start; t < stop; ++t) {
      c.window(b, k, t, zeros.data(), rows);
      T* out = y + (sequence * c.length + c.orders[k * c.length + t]) * c.channels;
      for (int64_t channel = 0; channel < c.channels; channel += kLanes<T>) {
        const int lanes = lanes_at<T>(channel, c.channels);
        const Vec<T> pre = c.at(rows, channel, lanes);
        store(out + channel, c.use_silu ? pre * sigmoid<T>(pre) : pre, lanes);
      }
    }
  }
}

// A task sums over the orders, for one group of channels of one image, so that dx needs no second
// pass; dw and db are summed over the batch by the caller.
template <class T>
void conv_backward(const Conv<T>& c, const T* dy, T* dx, T* dw, T* db, int64_t groups, int threads) {
  const int64_t blocks = (c.channels + kLanes<T> - 1) / kLanes<T>;
  const int64_t taps = c.taps;
  const std::vector<T> zeros(c.channels, T(0));
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t task = 0; task < c.batch * groups; ++task) {
    const int64_t b = task / groups, group = task % groups;
    const int64_t first = blocks * group / groups, count = blocks * (group + 1) / groups - first;
    // gradients before the activation at the last `taps` steps, by step modulo taps
    std::vector<Vec<T>> grad(taps * count), dweight(taps * count, Vec<T>{}), dbias(count, Vec<T>{});
    const T* rows[kMaxTaps];
    for (int64_t k = 0; k < c.paths; ++k) {
      const int64_t* order = c.orders + k * c.length;
      const T* from = dy + (b * c.paths + k) * c.length * c.channels;
      std::fill(grad.begin(), grad.end(), Vec<T>{});
      for (int64_t t = 0; t < c.length + taps - 1; ++t) {
        const int64_t done = t - taps + 1;  // the token whose gradient is complete after step t
        if (t < c.length) c.window(b, k, t, zeros.data(), rows);
        for (int64_t block = 0; block < count; ++block) {
          const int64_t channel = (first + block) * kLanes<T>;
          const int lanes = lanes_at<T>(channel, c.channels);
          Vec<T>& g = grad[t % taps * count + block];
          g = Vec<T>{};
          if (t < c.length) {
            g = load(from + order[t] * c.channels + channel, lanes);
            if (c.use_silu) {
              const Vec<T> pre = c.at(rows, channel, lanes), s = sigmoid<T>(pre);
              g *= s * (T(1) + pre * (T(1) - s));
            }
            dbias[block] += g;
            for (int64_t j = 0; j < taps; ++j)
              dweight[j * count + block] += g * load(rows[j] + channel, lanes);
          }
          if (done < 0) continue;
          Vec<T> sum{};
          for (int64_t j = 0; j < taps; ++j)
            sum += load(c.weight + j * c.channels + channel, lanes) *
                   grad[(done + taps - 1 - j) % taps * count + block];
          T* into = dx + (b * c.length + order[done]) * c.channels + channel;
          store(into, k ? load(into, lanes) + sum : sum, lanes);
        }
      }
    }
    for (int64_t block = 0; block < count; ++block) {
      const int64_t channel = (first + block) * kLanes<T>;
      const int lanes = lanes_at<T>(channel, c.channels);
      for (int64_t j = 0; j < taps; ++j)
        store(dw + (b * taps + j) * c.channels + channel, dweight[j * count + block], lanes);
      store(db + b * c.channels + channel, dbias[block], lanes);
    }
  }
}

template <class T>
Scan<T> scan_of(const int64_t* sizes, const void* const* tensors) {
  Scan<T> s;
  s.shape = {sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]};
  s.u_path = sizes[5];
  s.A_path = sizes[6];
  s.D_path = sizes[7];
  s.bias_path = sizes[8];
  s.B_row = sizes[9];
  s.C_row = sizes[10];
  s.chunk = sizes[11];
  s.use_softplus = sizes[12];
  s.delta_row = sizes[13];
  s.rank = sizes[14];
  const T** into[] = {&s.u, &s.delta, &s.A, &s.B, &s.C, &s.D, &s.bias, &s.dt_weight};
  for (int i = 0; i < 8; ++i) *into[i] = static_cast<const T*>(tensors[i]);
  s.orders = static_cast<const int64_t*>(tensors[8]);
  return s;
}

template <class T>
Conv<T> conv_of(const int64_t* sizes, const void* const* tensors) {
  return {sizes[0],
          sizes[1],
          sizes[2],
          sizes[3],
          sizes[4],
          static_cast<const T*>(tensors[0]),
          static_cast<const T*>(tensors[1]),
          static_cast<const T*>(tensors[2]),
          static_cast<const int64_t*>(tensors[3]),
          sizes[5],
          bool(sizes[6])};
}

template <class T>
Gate<T> gate_of(const int64_t* sizes, const void* const* tensors) {
  return {sizes[0], sizes[1], sizes[2], sizes[3], static_cast<const T*>(tensors[0]),
          static_cast<const T*>(tensors[1]), sizes[4]};
}

}  // namespace

// The doors for ctypes: sizes and pointers in the order of rsmamba_mm/ops/backends/cpu.py
#define DOORS(T, suffix)                                                                             \
  extern "C" void scan_forward_##suffix(const int64_t* sizes, const void* const* in,                 \
                                        void* const* out, int64_t groups, int threads) {             \
    forward<T>(scan_of<T>(sizes, in), static_cast<T*>(out[0]), static_cast<T*>(out[1]),              \
               static_cast<T*>(out[2]), groups, threads);                                            \
  }                                                                                                  \
  extern "C" void scan_backward_##suffix(const int64_t* sizes, const void* const* in,                \
                                         void* const* out, int64_t groups, int threads) {            \
    const Gradients<T> grad = {static_cast<const T*>(in[9]), static_cast<const T*>(in[10]),          \
                               static_cast<const T*>(in[11]), static_cast<T*>(out[0]),               \
                               static_cast<T*>(out[1]), static_cast<T*>(out[2]),                     \
                               static_cast<T*>(out[3]), static_cast<T*>(out[4]),                     \
                               static_cast<T*>(out[5]), static_cast<T*>(out[6])};                    \
    backward<T>(scan_of<T>(sizes, in), grad, groups, threads);                                       \
  }                                                                                                  \
  extern "C" void conv_forward_##suffix(const int64_t* sizes, const void* const* in,                 \
                                        void* const* out, int64_t, int threads) {                    \
    conv_forward<T>(conv_of<T>(sizes, in), static_cast<T*>(out[0]), threads);                        \
  }                                                                                                  \
  extern "C" void conv_backward_##suffix(const int64_t* sizes, const void* const* in,                \
                                         void* const* out, int64_t groups, int threads) {            \
    conv_backward<T>(conv_of<T>(sizes, in), static_cast<const T*>(in[4]), static_cast<T*>(out[0]),   \
                     static_cast<T*>(out[1]), static_cast<T*>(out[2]), groups, threads);                     \
  }

#define GATE_DOORS(T, suffix)                                                                        \
  extern "C" void pool_forward_##suffix(const int64_t* sizes, const void* const* in,                 \
                                        void* const* out, int64_t, int threads) {                    \
    pool_forward<T>(gate_of<T>(sizes, in), static_cast<T*>(out[0]), threads);                        \
  }                                                                                                  \
  extern "C" void pool_backward_##suffix(const int64_t* sizes, const void* const* in,                \
                                         void* const* out, int64_t, int threads) {                   \
    pool_backward<T>(gate_of<T>(sizes, in), static_cast<const T*>(in[2]), static_cast<T*>(out[0]),   \
                     static_cast<T*>(out[1]), threads);                                              \
  }                                                                                                  \
  extern "C" void merge_forward_##suffix(const int64_t* sizes, const void* const* in,                \
                                         void* const* out, int64_t, int threads) {                   \
    merge_forward<T>(gate_of<T>(sizes, in), static_cast<const T*>(in[2]), static_cast<T*>(out[0]),   \
                     threads);                                                                       \
  }                                                                                                  \
  extern "C" void merge_backward_##suffix(const int64_t* sizes, const void* const* in,               \
                                          void* const* out, int64_t, int threads) {                  \
    merge_backward<T>(gate_of<T>(sizes, in), static_cast<const T*>(in[2]),                           \
                      static_cast<const T*>(in[3]), static_cast<T*>(out[0]), static_cast<T*>(out[1]), \
                      static_cast<T*>(out[2]), threads);                                             \
  }

DOORS(float, f32)
DOORS(double, f64)
GATE_DOORS(float, f32)
GATE_DOORS(double, f64)
