// Vectors by the compiler's own vector extension (GCC, Clang): one source for AVX-512, AVX2, SSE, NEON.
// All of it is branch-free and meant to be inlined into loops over channels.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512DQ__)
#include <immintrin.h>
#endif

#if defined(__AVX512DQ__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

template <class T>
struct VecOf;
template <>
struct VecOf<float> {
  typedef float type __attribute__((vector_size(kBytes)));
};
template <>
struct VecOf<double> {
  typedef double type __attribute__((vector_size(kBytes)));
};
template <class T>
using Vec = typename VecOf<T>::type;
typedef int32_t VecInt __attribute__((vector_size(kBytes)));

template <class T>
constexpr int kLanes = kBytes / int(sizeof(T));

// of the vector at a channel
template <class T>
static inline int lanes_at(int64_t channel, int64_t channels) {
  return int(std::min<int64_t>(kLanes<T>, channels - channel));
}

// `lanes` is kLanes but for the last block of channels
template <class T>
static inline Vec<T> load(const T* p, int lanes) {
  Vec<T> x;
  if (__builtin_expect(lanes == kLanes<T>, 1)) {
    std::memcpy(&x, p, sizeof(x));
  } else {
    x = Vec<T>{};
    for (int i = 0; i < lanes; ++i) x[i] = p[i];
  }
  return x;
}

template <class T>
static inline void store(T* p, Vec<T> x, int lanes) {
  if (__builtin_expect(lanes == kLanes<T>, 1)) {
    std::memcpy(p, &x, sizeof(x));
  } else {
    for (int i = 0; i < lanes; ++i) p[i] = x[i];
  }
}

template <class T>
static inline T sum(Vec<T> x) {
  T lanes[kLanes<T>];
  std::memcpy(lanes, &x, sizeof(x));
#pragma GCC unroll 8
  for (int half = kLanes<T> / 2; half; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

// 2^x by its whole part n = floor(x) and a polynomial p of the rest f: 2^x = p(f) 2^n
struct Power {
  Vec<float> x, f;
};

#if defined(__AVX512DQ__)

// One instruction takes the rest, another the whole part, as far as float reaches: nothing to clamp.
static inline Power split(Vec<float> x) {
  return {x, (Vec<float>)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
}
static inline Vec<float> scale(Vec<float> p, Power power) {
  return (Vec<float>)_mm512_scalef_ps((__m512)p, (__m512)power.x);
}

#else

// A NaN stays; what lies outside of float's normal range is put on its edge.
static inline Power split(Vec<float> x) {
  const Vec<float> low = Vec<float>{} - 126.0f, high = Vec<float>{} + 127.0f;
  x = x < low ? low : x;
  x = x > high ? high : x;
  Vec<float> n = (x + 12582912.0f) - 12582912.0f;  // 1.5 * 2^23: to the nearest whole number
  n = n > x ? n - 1.0f : n;
  return {n, x - n};
}
static inline Vec<float> scale(Vec<float> p, Power power) {
  return (Vec<float>)((VecInt)p + (__builtin_convertvector(power.x, VecInt) << 23));
}

#endif

// 2^x to 1.6e-7. A polynomial of degree 5, minimax on [0, 1] among those with p(0) = 1 and p(1) = 2
// exactly, so that a state that hardly decays stays right over long sequences.
static inline Vec<float> exp2(Vec<float> x) {
  const Power power = split(x);
  const Vec<float> f = power.f;
  Vec<float> p = f * 1.8793186579e-3f + 8.9909950714e-3f;
  p = p * f + 5.5818675984e-2f;
  p = p * f + 2.4015927146e-1f;
  p = p * f + 6.9315173883e-1f;
  p = p * f + 1.0f;
  return scale(p, power);
}

static inline Vec<double> exp2(Vec<double> x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = std::exp2(x[i]);
  return x;
}

template <class T>
static inline Vec<T> exp(Vec<T> x) {
  return exp2(x * T(1.4426950408889634));
}

// log(1 + e) for e in [0, 1] to 2e-7, relative: e times a polynomial of degree 8, minimax with p(0) = 1
static inline Vec<float> log1p(Vec<float> e) {
  Vec<float> p = e * 5.3648261646e-3f - 3.0065799926e-2f;
  p = p * e + 7.9204548543e-2f;
  p = p * e - 1.3753803495e-1f;
  p = p * e + 1.9153655512e-1f;
  p = p * e - 2.4857163822e-1f;
  p = p * e + 3.3321322639e-1f;
  p = p * e - 4.9999647965e-1f;
  p = p * e + 1.0f;
  return p * e;
}

static inline Vec<double> log1p(Vec<double> e) {
  for (int i = 0; i < kLanes<double>; ++i) e[i] = std::log1p(e[i]);
  return e;
}

// as torch.nn.functional.softplus, linear above 20
template <class T>
static inline Vec<T> softplus(Vec<T> x) {
  const Vec<T> zero{}, limit = zero + T(20);
  const Vec<T> smooth = (x > zero ? x : zero) + log1p(exp<T>(x > zero ? -x : x));
  return x > limit ? x : smooth;
}

template <class T>
static inline Vec<T> sigmoid(Vec<T> x) {
  return T(1) / (T(1) + exp<T>(-x));
}
