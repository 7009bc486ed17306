// Selective scan along several orders, on the CPU, and the doors to all that is native.
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

#include "conv_cpu.h"
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
  const T* dt_weight;  // (K or 1, rank, E): delta is given as (B, K, L, rank) and projected here; or null
  int64_t rank, dt_weight_path;

  int64_t blocks() const { return (shape.channels + kLanes<T> - 1) / kLanes<T>; }
  int64_t chunks() const { return (shape.length + chunk - 1) / chunk; }
};

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

  // The step sizes of `steps` steps, and their slope over the raw ones. A loop of its own: no step waits
  // for another, and the chains of a softplus overlap.
  void step_sizes(int64_t start, int64_t steps, Vec<T>* delta, Vec<T>* slope = nullptr) const {
    for (int64_t t = 0; t < steps; ++t) {
      const Vec<T> raw = raw_delta(token(start + t));
      delta[t] = use_softplus ? softplus<T>(raw) : raw;
      if (slope) slope[t] = use_softplus ? sigmoid<T>(raw) : Vec<T>{} + T(1);
    }
  }
};

template <class T>
std::vector<Vec<T>> load_dt_weight(const Scan<T>& s, const Task& task) {
  std::vector<Vec<T>> weights;
  if (!s.dt_weight) return weights;
  for (int64_t block = task.first_block; block < task.last_block; ++block) {
    const int64_t channel = block * kLanes<T>;
    for (int64_t r = 0; r < s.rank; ++r)
      weights.push_back(load(s.dt_weight + task.k * s.dt_weight_path + r * s.shape.channels + channel,
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
  std::vector<Vec<T>> A(blocks * states), state(blocks * states, Vec<T>{}), deltas(s.chunk);
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
      rows.step_sizes(start, stop - start, deltas.data());
      for (int64_t t = start; t < stop; ++t) {
        const int64_t i = rows.token(t);
        const Vec<T> delta = deltas[t - start];
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
  T *u, *delta;     // (B, K, L, E)
  T *B, *C;         // (groups, B, K, L, N)
  T *A, *D, *bias;  // (B, K, N, E), (B, K, E), (B, K, E)
};

// Backward of a task, chunk by chunk from the end: run the chunk again from its kept state, then the
// adjoint through it in reverse. A few states at a time, for all channels of the task: what a chunk's steps
// leave behind for them stays in the first cache. The sums over channels that dB and dC need are held as
// vectors, and added up across their lanes once a chunk.
template <class T, int kStates>
void backward_task(const Scan<T>& s, const Task& task, const Gradients<T>& grad) {
  constexpr int kTile = kStates && kStates < 4 ? kStates : 4;
  const int states = kStates ? kStates : int(s.shape.states);
  const int64_t length = s.shape.length, channels = s.shape.channels, chunk = s.chunk;
  const int64_t sequence = task.b * s.shape.paths + task.k;
  const int64_t sequences = s.shape.batch * s.shape.paths;
  const int64_t state_size = sequences * states * channels;
  const int64_t blocks = task.last_block - task.first_block;
  const std::vector<Vec<T>> weights = load_dt_weight(s, task);
  std::vector<Rows<T>> rows;
  std::vector<Vec<T>> A(blocks * states), adjoint(blocks * states), dA(blocks * states, Vec<T>{});
  std::vector<Vec<T>> dD(blocks, Vec<T>{}), dbias(blocks, Vec<T>{});
  // of each block and step
  std::vector<Vec<T>> deltas(blocks * chunk), slopes(deltas), us(deltas), dys(deltas);
  std::vector<Vec<T>> to_B(deltas), to_A(deltas);
  // of each step and state of the tile
  std::vector<Vec<T>> decay(chunk * kTile), after((chunk + 1) * kTile), dB(chunk * kTile), dC(dB);

  for (int64_t block = 0; block < blocks; ++block) {
    rows.emplace_back(s, task, task.first_block + block, weights);
    load_A<T, kStates>(s, task, rows[block], &A[block * states]);
    for (int n = 0; n < states; ++n) {
      const int64_t at = (sequence * states + n) * channels + rows[block].channel;
      adjoint[block * states + n] = grad.last ? load(grad.last + at, rows[block].lanes) : Vec<T>{};
    }
  }
  for (int64_t c = s.chunks() - 1; c >= 0; --c) {
    const int64_t start = c * chunk, steps = std::min(chunk, length - start);
    for (int64_t t = 0; t < steps; ++t) {
      const int64_t i = rows[0].token(start + t);
      for (int64_t block = 0; block < blocks; ++block) {
        const Rows<T>& r = rows[block];
        const int64_t at = block * chunk + t;
        r.step_sizes(start + t, 1, &deltas[at], &slopes[at]);
        us[at] = load(r.u + i * channels, r.lanes);
        dys[at] = load(grad.y + (sequence * length + i) * channels + r.channel, r.lanes);
      }
    }
    std::fill(to_B.begin(), to_B.end(), Vec<T>{});
    std::fill(to_A.begin(), to_A.end(), Vec<T>{});

    for (int first = 0; first < states; first += kTile) {
      const int tile = kStates ? kTile : std::min(kTile, states - first);
      std::fill(dB.begin(), dB.end(), Vec<T>{});
      std::fill(dC.begin(), dC.end(), Vec<T>{});
      for (int64_t block = 0; block < blocks; ++block) {
        const Rows<T>& r = rows[block];
        const int64_t of_tile = block * states + first;
        Vec<T> a[kTile], h[kTile], g[kTile], grad_a[kTile];
        const T* kept = grad.kept + c * state_size + (sequence * states + first) * channels + r.channel;
        for (int n = 0; n < tile; ++n) {
          after[n] = h[n] = load(kept + n * channels, r.lanes);
          a[n] = A[of_tile + n];
          g[n] = adjoint[of_tile + n];
          grad_a[n] = dA[of_tile + n];
        }
        for (int64_t t = 0; t < steps; ++t) {
          const T* B = r.B + r.token(start + t) * r.B_row + first;
          const Vec<T> delta = deltas[block * chunk + t], drive = delta * us[block * chunk + t];
#pragma GCC unroll 4
          for (int n = 0; n < tile; ++n) {
            const Vec<T> decayed = exp2(delta * a[n]);
            h[n] = decayed * h[n] + drive * B[n];
            decay[t * kTile + n] = decayed;
            after[(t + 1) * kTile + n] = h[n];
          }
        }
        for (int64_t t = steps - 1; t >= 0; --t) {
          const int64_t i = r.token(start + t), at = block * chunk + t;
          const Vec<T> delta = deltas[at], drive = delta * us[at], dy = dys[at];
          const T *B = r.B + i * r.B_row + first, *C = r.C + i * r.C_row + first;
          Vec<T> through_B = to_B[at], through_A = to_A[at];
#pragma GCC unroll 4
          for (int n = 0; n < tile; ++n) {
            const Vec<T> before = after[t * kTile + n];
            g[n] += dy * C[n];
            dC[t * kTile + n] += dy * h[n];
            dB[t * kTile + n] += g[n] * drive;
            through_B += g[n] * B[n];
            g[n] *= decay[t * kTile + n];
            const Vec<T> q = g[n] * before;
            through_A += q * a[n];
            grad_a[n] += q * delta;
            h[n] = before;
          }
          to_B[at] = through_B;
          to_A[at] = through_A;
        }
        for (int n = 0; n < tile; ++n) {
          adjoint[of_tile + n] = g[n];
          dA[of_tile + n] = grad_a[n];
        }
      }
      for (int64_t t = 0; t < steps; ++t) {
        const int64_t i = rows[0].token(start + t);
        const int64_t at = ((task.group * sequences + sequence) * length + i) * states + first;
        for (int n = 0; n < tile; ++n) {
          grad.B[at + n] = sum<T>(dB[t * kTile + n]);
          grad.C[at + n] = sum<T>(dC[t * kTile + n]);
        }
      }
    }

    for (int64_t t = 0; t < steps; ++t) {
      const int64_t i = rows[0].token(start + t);
      for (int64_t block = 0; block < blocks; ++block) {
        const Rows<T>& r = rows[block];
        const int64_t from = block * chunk + t, at = (sequence * length + i) * channels + r.channel;
        // A carries log2(e)
        const Vec<T> ddelta = (to_B[from] * us[from] + to_A[from] * T(0.6931471805599453)) * slopes[from];
        store(grad.delta + at, ddelta, r.lanes);
        store(grad.u + at, to_B[from] * deltas[from] + r.skip * dys[from], r.lanes);
        dD[block] += dys[from] * us[from];
        dbias[block] += ddelta;
      }
    }
  }
  for (int64_t block = 0; block < blocks; ++block) {
    const Rows<T>& r = rows[block];
    for (int n = 0; n < states; ++n)
      store(grad.A + (sequence * states + n) * channels + r.channel, dA[block * states + n], r.lanes);
    store(grad.D + sequence * channels + r.channel, dD[block], r.lanes);
    store(grad.bias + sequence * channels + r.channel, dbias[block], r.lanes);
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
  s.dt_weight_path = sizes[15];
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
          bool(sizes[6]),
          sizes[7],
          sizes[8]};
}

template <class T>
Gate<T> gate_of(const int64_t* sizes, const void* const* tensors) {
  return {sizes[0],
          sizes[1],
          sizes[2],
          sizes[3],
          static_cast<const T*>(tensors[0]),
          static_cast<const T*>(tensors[1]),
          sizes[4]};
}

}  // namespace

// The doors for ctypes: sizes and pointers in the order of rsmamba_mm/ops/backends/cpu/call.py
#define DOORS(T, suffix)                                                                                \
  extern "C" void scan_forward_##suffix(const int64_t* sizes, const void* const* in, void* const* out,  \
                                        int64_t groups, int threads) {                                  \
    forward<T>(scan_of<T>(sizes, in), static_cast<T*>(out[0]), static_cast<T*>(out[1]),                 \
               static_cast<T*>(out[2]), groups, threads);                                               \
  }                                                                                                     \
  extern "C" void scan_backward_##suffix(const int64_t* sizes, const void* const* in, void* const* out, \
                                         int64_t groups, int threads) {                                 \
    const Gradients<T> grad = {static_cast<const T*>(in[9]),  static_cast<const T*>(in[10]),            \
                               static_cast<const T*>(in[11]), static_cast<T*>(out[0]),                  \
                               static_cast<T*>(out[1]),       static_cast<T*>(out[2]),                  \
                               static_cast<T*>(out[3]),       static_cast<T*>(out[4]),                  \
                               static_cast<T*>(out[5]),       static_cast<T*>(out[6])};                 \
    backward<T>(scan_of<T>(sizes, in), grad, groups, threads);                                          \
  }                                                                                                     \
  extern "C" void conv_forward_##suffix(const int64_t* sizes, const void* const* in, void* const* out,  \
                                        int64_t, int threads) {                                         \
    conv_forward<T>(conv_of<T>(sizes, in), static_cast<T*>(out[0]), threads);                           \
  }                                                                                                     \
  extern "C" void conv_backward_##suffix(const int64_t* sizes, const void* const* in, void* const* out, \
                                         int64_t groups, int threads) {                                 \
    conv_backward<T>(conv_of<T>(sizes, in), static_cast<const T*>(in[4]), static_cast<T*>(out[0]),      \
                     static_cast<T*>(out[1]), static_cast<T*>(out[2]), groups, threads);                \
  }

#define GATE_DOORS(T, suffix)                                                                              \
  extern "C" void pool_forward_##suffix(const int64_t* sizes, const void* const* in, void* const* out,     \
                                        int64_t, int threads) {                                            \
    pool_forward<T>(gate_of<T>(sizes, in), static_cast<T*>(out[0]), threads);                              \
  }                                                                                                        \
  extern "C" void pool_backward_##suffix(const int64_t* sizes, const void* const* in, void* const* out,    \
                                         int64_t, int threads) {                                           \
    pool_backward<T>(gate_of<T>(sizes, in), static_cast<const T*>(in[2]), static_cast<T*>(out[0]),         \
                     static_cast<T*>(out[1]), threads);                                                    \
  }                                                                                                        \
  extern "C" void merge_forward_##suffix(const int64_t* sizes, const void* const* in, void* const* out,    \
                                         int64_t, int threads) {                                           \
    merge_forward<T>(gate_of<T>(sizes, in), static_cast<const T*>(in[2]), static_cast<T*>(out[0]),         \
                     threads);                                                                             \
  }                                                                                                        \
  extern "C" void merge_backward_##suffix(const int64_t* sizes, const void* const* in, void* const* out,   \
                                          int64_t, int threads) {                                          \
    merge_backward<T>(gate_of<T>(sizes, in), static_cast<const T*>(in[2]), static_cast<const T*>(in[3]),   \
                      static_cast<T*>(out[0]), static_cast<T*>(out[1]), static_cast<T*>(out[2]), threads); \
  }

DOORS(float, f32)
DOORS(double, f64)
GATE_DOORS(float, f32)
GATE_DOORS(double, f64)
