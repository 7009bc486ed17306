// The native CPU backend: the doors to all of it.
//
// Built without PyTorch's headers, so that it compiles in seconds and fits every version; the symbols of
// OpenMP are found in the runtime that PyTorch has loaded, whose threads it shares.
#include "conv.h"
#include "gate.h"
#include "scan.h"

namespace {

template <class T>
View<T> view_of(const int64_t* strides, const void* data) {
  return {static_cast<const T*>(data), strides[0], strides[1], strides[2], strides[3]};
}

template <class T>
Scan<T> scan_of(const int64_t* sizes, const void* const* in) {
  Scan<T> s;
  s.shape = {sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]};
  s.rank = sizes[5];
  s.chunk = sizes[6];
  s.use_softplus = sizes[7];
  s.A_path = sizes[8];
  s.D_path = sizes[9];
  s.bias_path = sizes[10];
  s.dt_weight_path = sizes[11];
  View<T>* views[] = {&s.u, &s.delta, &s.B, &s.C};
  for (int i = 0; i < 4; ++i) *views[i] = view_of<T>(sizes + 12 + 4 * i, in[i]);
  const T** arrays[] = {&s.A, &s.D, &s.bias, &s.dt_weight};
  for (int i = 0; i < 4; ++i) *arrays[i] = static_cast<const T*>(in[4 + i]);
  s.orders = static_cast<const int64_t*>(in[8]);
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

// The doors for ctypes: sizes and pointers in the order of rsmamba_mm/ops/backends/cpu/call.py. Their names
// end with the numbers' type and the set of instructions that all of this is compiled for, so that one
// library can hold it several times.
#ifndef INSTRUCTIONS
#error "give the set of instructions a name: -DINSTRUCTIONS=avx2"
#endif
#define JOINED(name, type, instructions) name##_##type##_##instructions
#define NAMED(name, type, instructions) JOINED(name, type, instructions)
#define DOOR(name, type)                                                                       \
  extern "C" void NAMED(name, type, INSTRUCTIONS)(const int64_t* sizes, const void* const* in, \
                                                  void* const* out, int64_t groups, int threads)

#define DOORS(T, type)                                                                                    \
  DOOR(scan_forward, type) {                                                                              \
    scan_forward(scan_of<T>(sizes, in), static_cast<T*>(out[0]), static_cast<T*>(out[1]),                 \
                 static_cast<T*>(out[2]), groups, threads);                                               \
  }                                                                                                       \
  DOOR(scan_backward, type) {                                                                             \
    const Gradients<T> grad = {view_of<T>(sizes + 28, in[9]), static_cast<const T*>(in[10]),              \
                               static_cast<const T*>(in[11]), static_cast<T*>(out[0]),                    \
                               static_cast<T*>(out[1]),       static_cast<T*>(out[2]),                    \
                               static_cast<T*>(out[3]),       static_cast<T*>(out[4]),                    \
                               static_cast<T*>(out[5]),       static_cast<T*>(out[6])};                   \
    scan_backward(scan_of<T>(sizes, in), grad, groups, threads);                                          \
  }                                                                                                       \
  DOOR(conv_forward, type) { conv_forward(conv_of<T>(sizes, in), static_cast<T*>(out[0]), threads); }     \
  DOOR(conv_backward, type) {                                                                             \
    conv_backward(conv_of<T>(sizes, in), static_cast<const T*>(in[4]), static_cast<T*>(out[0]),           \
                  static_cast<T*>(out[1]), static_cast<T*>(out[2]), groups, threads);                     \
  }                                                                                                       \
  DOOR(pool_forward, type) { pool_forward(gate_of<T>(sizes, in), static_cast<T*>(out[0]), threads); }     \
  DOOR(pool_backward, type) {                                                                             \
    pool_backward(gate_of<T>(sizes, in), static_cast<const T*>(in[2]), static_cast<T*>(out[0]),           \
                  static_cast<T*>(out[1]), threads);                                                      \
  }                                                                                                       \
  DOOR(merge_forward, type) {                                                                             \
    merge_forward(gate_of<T>(sizes, in), static_cast<const T*>(in[2]), static_cast<T*>(out[0]), threads); \
  }                                                                                                       \
  DOOR(merge_backward, type) {                                                                            \
    merge_backward(gate_of<T>(sizes, in), static_cast<const T*>(in[2]), static_cast<const T*>(in[3]),     \
                   static_cast<T*>(out[0]), static_cast<T*>(out[1]), static_cast<T*>(out[2]), threads);   \
  }

DOORS(float, f32)
DOORS(double, f64)
