// Causal depthwise convolution along several orders.
#pragma once

#include "buffer.h"
#include "vec.h"

namespace {

constexpr int kMaxTaps = 128;

template <class T>
struct Conv {
  int64_t batch, paths, length, channels, taps;
  const T *x, *weight, *bias;  // weight is (K or 1, taps, E), bias (K or 1, E)
  const int64_t* orders;
  int64_t x_row;  // elements between two tokens
  bool use_silu;
  int64_t weight_path, bias_path;  // elements between two orders; 0 where shared

  // Rows of the tokens that step t of order k sees, the last one that of t itself; before the first
  // token there is a row of zeros.
  void window(int64_t b, int64_t k, int64_t t, const T* zeros, const T** rows) const {
    for (int64_t j = 0; j < taps; ++j) {
      const int64_t step = t - taps + 1 + j;
      rows[j] = step < 0 ? zeros : x + (b * length + orders[k * length + step]) * x_row;
    }
  }
  const T* weight_at(int64_t k, int64_t j, int64_t channel) const {
    return weight + k * weight_path + j * channels + channel;
  }
  // kTaps is the number of taps where it is known at compile time, else 0
  template <int kTaps>
  Vec<T> at(int64_t k, const T* const* rows, int64_t channel, int lanes) const {
    Vec<T> y = bias ? load(bias + k * bias_path + channel, lanes) : Vec<T>{};
    const int64_t count = kTaps ? kTaps : taps;
    for (int64_t j = 0; j < count; ++j)
      y += load(weight_at(k, j, channel), lanes) * load(rows[j] + channel, lanes);
    return y;
  }
};

template <int kTaps, class T>
void conv_forward_of(const Conv<T>& c, T* y, int threads) {
  constexpr int64_t kSteps = 64;  // of one task
  const int64_t pieces = (c.length + kSteps - 1) / kSteps;
  const Buffer<T> zeros(c.channels);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t task = 0; task < c.batch * c.paths * pieces; ++task) {
    const int64_t start = task % pieces * kSteps,
                  stop = start + kSteps < c.length ? start + kSteps : c.length;
    const int64_t sequence = task / pieces, k = sequence % c.paths, b = sequence / c.paths;
    const T* rows[kMaxTaps];
    for (int64_t t = start; t < stop; ++t) {
      c.window(b, k, t, zeros.data(), rows);
      T* out = y + (sequence * c.length + c.orders[k * c.length + t]) * c.channels;
      for (int64_t channel = 0; channel < c.channels; channel += kLanes<T>) {
        const int lanes = lanes_at<T>(channel, c.channels);
        const Vec<T> pre = c.template at<kTaps>(k, rows, channel, lanes);
        store(out + channel, c.use_silu ? silu<T>(pre) : pre, lanes);
      }
    }
  }
}

// A task sums dx over the orders, for one group of channels of one image, so that it needs no second pass;
// dw (B, K, taps, E) and db (B, K, E) are summed by the caller.
template <int kTaps, class T>
void conv_backward_of(const Conv<T>& c, const T* dy, T* dx, T* dw, T* db, int64_t groups, int threads) {
  const int64_t blocks = (c.channels + kLanes<T> - 1) / kLanes<T>;
  const int64_t taps = kTaps ? kTaps : c.taps;
  const Buffer<T> zeros(c.channels);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t task = 0; task < c.batch * groups; ++task) {
    const int64_t b = task / groups, group = task % groups;
    const int64_t first = blocks * group / groups, count = blocks * (group + 1) / groups - first;
    // gradients before the activation at the last `taps` steps, by step modulo taps
    Buffer<Vec<T>> grad(taps * count), dweight(taps * count), dbias(count);
    const T* rows[kMaxTaps];
    const Vec<T>* later[kMaxTaps];  // these gradients at the steps that saw a token, the last first
    for (int64_t k = 0; k < c.paths; ++k) {
      const int64_t* order = c.orders + k * c.length;
      const T* from = dy + (b * c.paths + k) * c.length * c.channels;
      for (auto* zeroed : {&grad, &dweight, &dbias}) zeroed->clear();
      for (int64_t t = 0; t < c.length + taps - 1; ++t) {
        const int64_t done = t - taps + 1;  // the token whose gradient is complete after step t
        if (t < c.length) c.window(b, k, t, zeros.data(), rows);
        for (int64_t j = 0; j < taps; ++j) later[j] = &grad[(t + taps - j) % taps * count];
        for (int64_t block = 0; block < count; ++block) {
          const int64_t channel = (first + block) * kLanes<T>;
          const int lanes = lanes_at<T>(channel, c.channels);
          Vec<T>& g = grad[t % taps * count + block];
          g = Vec<T>{};
          if (t < c.length) {
            g = load(from + order[t] * c.channels + channel, lanes);
            if (c.use_silu) {
              const Vec<T> pre = c.template at<kTaps>(k, rows, channel, lanes), s = sigmoid<T>(pre);
              g *= s * (T(1) + pre * (T(1) - s));
            }
            dbias[block] += g;
            for (int64_t j = 0; j < taps; ++j)
              dweight[j * count + block] += g * load(rows[j] + channel, lanes);
          }
          if (done < 0) continue;
          Vec<T> sum{};
          for (int64_t j = 0; j < taps; ++j)
            sum += load(c.weight_at(k, j, channel), lanes) * later[j][block];
          T* into = dx + (b * c.length + order[done]) * c.channels + channel;
          store(into, k ? load(into, lanes) + sum : sum, lanes);
        }
      }
      const int64_t sequence = b * c.paths + k;
      for (int64_t block = 0; block < count; ++block) {
        const int64_t channel = (first + block) * kLanes<T>;
        const int lanes = lanes_at<T>(channel, c.channels);
        for (int64_t j = 0; j < taps; ++j)
          store(dw + (sequence * taps + j) * c.channels + channel, dweight[j * count + block], lanes);
        store(db + sequence * c.channels + channel, dbias[block], lanes);
      }
    }
  }
}

// Four taps are Mamba's
template <class T>
void conv_forward(const Conv<T>& c, T* y, int threads) {
  (c.taps == 4 ? conv_forward_of<4, T> : conv_forward_of<0, T>)(c, y, threads);
}

template <class T>
void conv_backward(const Conv<T>& c, const T* dy, T* dx, T* dw, T* db, int64_t groups, int threads) {
  (c.taps == 4 ? conv_backward_of<4, T> : conv_backward_of<0, T>)(c, dy, dx, dw, db, groups, threads);
}

}  // namespace
