// What the doors compute, written down plainly in double precision: one loop for each sum.
#pragma once

#include <cstdint>
#include <vector>

using Numbers = std::vector<double>;

// The tensors of a scan as the doors have them; an absent one is empty. Rows of `delta`, B, C are dense
// here.
struct PlainScan {
  int64_t batch, paths, length, channels, states, rank, chunk;
  bool one_u, own_A, own_D, own_bias, own_weight, use_softplus;
  Numbers u, delta, A, B, C, D, bias, weight, grad_y, grad_last;
  std::vector<int64_t> orders;

  Numbers y, last, kept, du, ddelta, dA, dB, dC, dD, dbias;

  void run();

 private:
  void run(int64_t sequence, int64_t k, int64_t e);
};

struct PlainConv {
  int64_t batch, paths, length, channels, taps;
  bool own_weight, own_bias, use_silu;
  Numbers x, weight, bias, grad_y;
  std::vector<int64_t> orders;

  Numbers y, dx, dweight, dbias;

  void run();

 private:
  void run(int64_t sequence, int64_t k, int64_t t, int64_t e);
};

struct PlainGate {
  int64_t batch, paths, length, channels, steps;  // steps of a piece
  Numbers y, z, weights, grad_pool, grad_merged;

  Numbers sums, pool_dy, pool_dz, merged, merge_dy, merge_dz, dweights;

  void run();
};
