// Vectors by the compiler's own vector extension (GCC, Clang): one source for AVX-512, AVX2, SSE, NEON.
// All of it is branch-free and meant to be inlined into loops over channels.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__SSE__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace {

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
typedef uint32_t VecInt __attribute__((vector_size(kBytes)));

template <class T>
constexpr int kLanes = kBytes / int(sizeof(T));

// of the vector at a channel
template <class T>
inline int lanes_at(int64_t channel, int64_t channels) {
  const int64_t left = channels - channel;
  return left < kLanes<T> ? int(left) : kLanes<T>;
}

// `lanes` is kLanes but for the last block of channels; `step` elements lie between two lanes
template <class T>
inline Vec<T> load(const T* p, int lanes, int64_t step = 1) {
  Vec<T> x;
  if (__builtin_expect(lanes == kLanes<T> && step == 1, 1)) {
    std::memcpy(&x, p, sizeof(x));
  } else {
    x = Vec<T>{};
    for (int i = 0; i < lanes; ++i) x[i] = p[i * step];
  }
  return x;
}

template <class T>
inline void store(T* p, Vec<T> x, int lanes) {
  if (__builtin_expect(lanes == kLanes<T>, 1)) {
    std::memcpy(p, &x, sizeof(x));
  } else {
    for (int i = 0; i < lanes; ++i) p[i] = x[i];
  }
}

template <class T>
inline T sum(Vec<T> x) {
  T lanes[kLanes<T>];
  std::memcpy(lanes, &x, sizeof(x));
#pragma GCC unroll 8
  for (int half = kLanes<T> / 2; half; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

// Where x is NaN, both give NaN: instructions for it take x where the two do not compare.
inline Vec<float> at_least(Vec<float> x, float low) {
  const Vec<float> y = Vec<float>{} + low;
#if defined(__AVX512DQ__)
  return (Vec<float>)_mm512_max_ps((__m512)y, (__m512)x);
#elif defined(__AVX__)
  return (Vec<float>)_mm256_max_ps((__m256)y, (__m256)x);
#elif defined(__SSE__)
  return (Vec<float>)_mm_max_ps((__m128)y, (__m128)x);
#elif defined(__ARM_NEON)
  return (Vec<float>)vmaxq_f32((float32x4_t)y, (float32x4_t)x);
#else
  return y > x ? y : x;
#endif
}
inline Vec<float> at_most(Vec<float> x, float high) {
  const Vec<float> y = Vec<float>{} + high;
#if defined(__AVX512DQ__)
  return (Vec<float>)_mm512_min_ps((__m512)y, (__m512)x);
#elif defined(__AVX__)
  return (Vec<float>)_mm256_min_ps((__m256)y, (__m256)x);
#elif defined(__SSE__)
  return (Vec<float>)_mm_min_ps((__m128)y, (__m128)x);
#elif defined(__ARM_NEON)
  return (Vec<float>)vminq_f32((float32x4_t)y, (float32x4_t)x);
#else
  return y < x ? y : x;
#endif
}
// -|x|
inline Vec<float> negative(Vec<float> x) { return (Vec<float>)((VecInt)x | 0x80000000u); }
inline Vec<double> negative(Vec<double> x) { return x > 0 ? -x : x; }
inline Vec<double> at_least(Vec<double> x, double low) { return x < low ? Vec<double>{} + low : x; }

constexpr double kLog2E = 1.4426950408889634;

// Products x y between these have a power of two that is a normal number, also times the polynomial below
constexpr float kLowest = -125.0f, kHighest = 127.0f;

// 2^(x y) to 1.7e-7, by its whole part and a polynomial of degree 5 of the rest, minimax among those with
// p(0) = 1, so that a state that hardly decays stays right over long sequences. `kTame` says that the
// products lie between kLowest and kHighest; otherwise those beyond are put there.
#if defined(__AVX512DQ__)

// One instruction takes the rest, in [0, 1), another the whole part, as far as float reaches
template <bool kTame>
inline Vec<float> exp2(Vec<float> x, Vec<float> y) {
  const Vec<float> product = x * y;
  const Vec<float> f =
      (Vec<float>)_mm512_reduce_ps((__m512)product, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  Vec<float> p = f * 1.8793186579e-3f + 8.9909950714e-3f;
  p = p * f + 5.5818675984e-2f;
  p = p * f + 2.4015927146e-1f;
  p = p * f + 6.9315173883e-1f;
  p = p * f + 1.0f;
  return (Vec<float>)_mm512_scalef_ps((__m512)p, (__m512)product);
}

#else

// Adding 1.5 * 2^23 rounds to the nearest whole number and leaves it in the lowest bits, from where a shift
// puts it into the exponent; the rest is in [-1/2, 1/2]
template <bool kTame>
inline Vec<float> exp2(Vec<float> x, Vec<float> y) {
  constexpr float kMagic = 12582912.0f;
  Vec<float> n, f;
  if (kTame) {  // with the product inside of fused multiply-adds
    n = x * y + kMagic;
    f = x * y - (n - kMagic);
  } else {
    const Vec<float> product = at_most(at_least(x * y, kLowest), kHighest);
    n = product + kMagic;
    f = product - (n - kMagic);
  }
  Vec<float> p = f * 1.3264727198e-3f + 9.6715126396e-3f;
  p = p * f + 5.5507337433e-2f;
  p = p * f + 2.4022242085e-1f;
  p = p * f + 6.9314697760e-1f;
  p = p * f + 1.0f;
  return (Vec<float>)((VecInt)p + ((VecInt)n << 23));
}

#endif

template <bool kTame>
inline Vec<double> exp2(Vec<double> x, Vec<double> y) {
  x *= y;
  for (int i = 0; i < kLanes<double>; ++i) x[i] = std::exp2(x[i]);
  return x;
}

template <class T>
inline Vec<T> exp(Vec<T> x) {
  return exp2<false>(x, Vec<T>{} + T(kLog2E));
}

// log(1 + e) for e in [0, 1] to 2e-7, relative: e times a polynomial of degree 8, minimax with p(0) = 1
inline Vec<float> log1p(Vec<float> e) {
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

inline Vec<double> log1p(Vec<double> e) {
  for (int i = 0; i < kLanes<double>; ++i) e[i] = std::log1p(e[i]);
  return e;
}

template <class T>
inline Vec<T> sigmoid(Vec<T> x) {
  return T(1) / (T(1) + exp2<false>(x, Vec<T>{} - T(kLog2E)));
}

template <class T>
inline Vec<T> silu(Vec<T> x) {
  return x / (T(1) + exp2<false>(x, Vec<T>{} - T(kLog2E)));
}

// as torch.nn.functional.softplus, linear above 20, where float32 cannot tell it from x; and its slope, the
// sigmoid, by the same power
template <class T>
inline Vec<T> softplus(Vec<T> x, Vec<T>* slope = nullptr) {
  const Vec<T> zero{};
  const Vec<T> e = exp<T>(negative(x));
  if (slope) *slope = (x > zero ? zero + T(1) : e) / (T(1) + e);
  const Vec<T> smooth = at_least(x, T(0)) + log1p(e);
  return sizeof(T) > 4 ? (x > T(20) ? x : smooth) : smooth;
}

}  // namespace
