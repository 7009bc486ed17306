// Vectors by the compiler's own vector extension (GCC, Clang): one source for AVX-512, AVX2, SSE, NEON.
// All of it is branch-free and meant to be inlined into loops over channels.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
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
  T total = 0;
  for (int i = 0; i < kLanes<T>; ++i) total += x[i];
  return total;
}

// The larger of two; a NaN in x stays. (A comparison and a choice would take two instructions.)
static inline Vec<float> at_least(Vec<float> x, float low) {
#if defined(__AVX512F__)
  return (Vec<float>)_mm512_max_ps(_mm512_set1_ps(low), (__m512)x);
#elif defined(__AVX2__)
  return (Vec<float>)_mm256_max_ps(_mm256_set1_ps(low), (__m256)x);
#else
  const Vec<float> limit = Vec<float>{} + low;
  return x < limit ? limit : x;
#endif
}

// p 2^n for a whole number n
static inline Vec<float> scale(Vec<float> p, Vec<float> n) {
#if defined(__AVX512F__)
  return (Vec<float>)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
  const Vec<float> top = Vec<float>{} + 127.0f;
  n = n > top ? top : n;
  return (Vec<float>)((VecInt)p + (__builtin_convertvector(n, VecInt) << 23));
#endif
}

static inline Vec<float> round(Vec<float> x) {
#if defined(__AVX512F__)
  return (Vec<float>)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  return (x + 12582912.0f) - 12582912.0f;  // 1.5 * 2^23
#endif
}

// 2^x to 1e-7. Cody-Waite with a polynomial of degree 5, minimax on [-1/2, 1/2] among those with p(0) = 1
// exactly, so that a state that hardly decays stays right over long sequences.
static inline Vec<float> exp2(Vec<float> x) {
  x = at_least(x, -126.0f);
  const Vec<float> n = round(x), f = x - n;
  Vec<float> p = f * 1.3264727198e-3f + 9.6715126397e-3f;
  p = p * f + 5.5507337433e-2f;
  p = p * f + 2.4022242085e-1f;
  p = p * f + 6.9314697760e-1f;
  p = p * f + 1.0f;
  return scale(p, n);
}

static inline Vec<double> exp2(Vec<double> x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = std::exp2(x[i]);
  return x;
}

template <class T>
static inline Vec<T> exp(Vec<T> x) {
  return exp2(x * T(1.4426950408889634));
}

// log(1 + e) for e >= 0, right for tiny e too
static inline Vec<float> log1p(Vec<float> e) {
  const Vec<float> s = e + 1.0f;
  const VecInt n = ((VecInt)s - 0x3f3504f3) >> 23;  // s = 2^n m, m in [sqrt(1/2), sqrt(2))
  const Vec<float> f = (Vec<float>)((VecInt)s - (n << 23)) - 1.0f;
  const Vec<float> q = f / (f + 2.0f), q2 = q * q;
  Vec<float> series = q2 * (1.0f / 9) + (1.0f / 7);
  series = series * q2 + (1.0f / 5);
  series = series * q2 + (1.0f / 3);
  series = series * q2 + 1.0f;
  const Vec<float> rest = (e - (s - 1.0f)) / s;  // what 1 + e lost in rounding
  return __builtin_convertvector(n, Vec<float>) * 0.6931471806f + (2.0f * q * series + rest);
}

static inline Vec<double> log1p(Vec<double> e) {
  for (int i = 0; i < kLanes<double>; ++i) e[i] = std::log1p(e[i]);
  return e;
}

// as torch.nn.functional.softplus, linear above 20
template <class T>
static inline Vec<T> softplus(Vec<T> x) {
  const Vec<T> limit = Vec<T>{} + T(20);
  return x > limit ? x : log1p(exp<T>(x > limit ? limit : x));
}

template <class T>
static inline Vec<T> sigmoid(Vec<T> x) {
  return T(1) / (T(1) + exp<T>(-x));
}
