// Pooling and merging of the paths of a multi-path mixer, each one pass over memory.
#pragma once

#include "buffer.h"
#include "vec.h"

namespace {

template <class T>
struct Gate {
  int64_t batch, paths, length, channels;
  const T *y, *z;  // (B, K, L, E), (B, L, E)
  int64_t z_row;   // elements between two tokens

  static constexpr int64_t kSteps = 32;  // tokens of one task
  int64_t pieces() const { return (length + kSteps - 1) / kSteps; }
  const T* y_at(int64_t b, int64_t k, int64_t l) const {
    return y + ((b * paths + k) * length + l) * channels;
  }
  const T* z_at(int64_t b, int64_t l) const { return z + (b * length + l) * z_row; }
};

// f(b, first token, last token, piece) for all tokens in parallel
template <class T, class F>
void for_tokens(const Gate<T>& g, int threads, F f) {
  const int64_t pieces = g.pieces();
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t task = 0; task < g.batch * pieces; ++task) {
    const int64_t piece = task % pieces, start = piece * g.kSteps;
    const int64_t stop = start + g.kSteps < g.length ? start + g.kSteps : g.length;
    f(task / pieces, start, stop, piece);
  }
}

// f(channel, lanes) for the vectors of a row
template <class T, class F>
void for_vectors(int64_t channels, F f) {
  for (int64_t channel = 0; channel < channels; channel += kLanes<T>)
    f(channel, lanes_at<T>(channel, channels));
}

// Sums over a piece of the tokens, (B, pieces, K, E), for the caller to add up
template <class T>
void pool_forward(const Gate<T>& g, T* sums, int threads) {
  for_tokens(g, threads, [&](int64_t b, int64_t start, int64_t stop, int64_t piece) {
    T* into = sums + (b * g.pieces() + piece) * g.paths * g.channels;
    for (int64_t i = 0; i < g.paths * g.channels; ++i) into[i] = T(0);
    for (int64_t l = start; l < stop; ++l)
      for_vectors<T>(g.channels, [&](int64_t channel, int lanes) {
        const Vec<T> gate = silu<T>(load(g.z_at(b, l) + channel, lanes));
        for (int64_t k = 0; k < g.paths; ++k) {
          T* to = into + k * g.channels + channel;
          store(to, load(to, lanes) + load(g.y_at(b, k, l) + channel, lanes) * gate, lanes);
        }
      });
  });
}

template <class T>
void pool_backward(const Gate<T>& g, const T* dpool, T* dy, T* dz, int threads) {
  for_tokens(g, threads, [&](int64_t b, int64_t start, int64_t stop, int64_t) {
    for (int64_t l = start; l < stop; ++l)
      for_vectors<T>(g.channels, [&](int64_t channel, int lanes) {
        const Vec<T> v = load(g.z_at(b, l) + channel, lanes), s = sigmoid<T>(v);
        Vec<T> sum{};
        for (int64_t k = 0; k < g.paths; ++k) {
          const Vec<T> d = load(dpool + (b * g.paths + k) * g.channels + channel, lanes) / T(g.length);
          sum += d * load(g.y_at(b, k, l) + channel, lanes);
          store(dy + (g.y_at(b, k, l) - g.y) + channel, d * v * s, lanes);
        }
        store(dz + (b * g.length + l) * g.channels + channel, sum * s * (T(1) + v * (T(1) - s)), lanes);
      });
  });
}

template <class T>
void merge_forward(const Gate<T>& g, const T* weights, T* out, int threads) {
  for_tokens(g, threads, [&](int64_t b, int64_t start, int64_t stop, int64_t) {
    for (int64_t l = start; l < stop; ++l)
      for_vectors<T>(g.channels, [&](int64_t channel, int lanes) {
        Vec<T> sum{};
        for (int64_t k = 0; k < g.paths; ++k)
          sum += weights[b * g.paths + k] * load(g.y_at(b, k, l) + channel, lanes);
        const Vec<T> gate = silu<T>(load(g.z_at(b, l) + channel, lanes));
        store(out + (b * g.length + l) * g.channels + channel, sum * gate, lanes);
      });
  });
}

// dweights (B, pieces, K) for the caller to add up
template <class T>
void merge_backward(const Gate<T>& g, const T* weights, const T* dout, T* dy, T* dz, T* dweights,
                    int threads) {
  for_tokens(g, threads, [&](int64_t b, int64_t start, int64_t stop, int64_t piece) {
    Buffer<Vec<T>> dw(g.paths);
    for (int64_t l = start; l < stop; ++l)
      for_vectors<T>(g.channels, [&](int64_t channel, int lanes) {
        const Vec<T> v = load(g.z_at(b, l) + channel, lanes), s = sigmoid<T>(v);
        const Vec<T> d = load(dout + (b * g.length + l) * g.channels + channel, lanes);
        const Vec<T> through = d * v * s;
        Vec<T> sum{};
        for (int64_t k = 0; k < g.paths; ++k) {
          const T w = weights[b * g.paths + k];
          const Vec<T> y = load(g.y_at(b, k, l) + channel, lanes);
          sum += w * y;
          dw[k] += through * y;
          store(dy + (g.y_at(b, k, l) - g.y) + channel, w * through, lanes);
        }
        store(dz + (b * g.length + l) * g.channels + channel, d * sum * s * (T(1) + v * (T(1) - s)), lanes);
      });
    for (int64_t k = 0; k < g.paths; ++k) dweights[(b * g.pieces() + piece) * g.paths + k] = sum<T>(dw[k]);
  });
}

}  // namespace
