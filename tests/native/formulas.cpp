// See formulas.h. Compiled by itself, without a sanitizer: it is not what is checked.
#include "formulas.h"

#include <algorithm>
#include <cmath>

namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }
// SiLU, and its slope
double silu(double x) { return x * sigmoid(x); }
double silu_slope(double x) {
  const double s = sigmoid(x);
  return s * (1 + x * (1 - s));
}

}  // namespace

void PlainScan::run() {
  const int64_t sequences = batch * paths, tokens = sequences * length, state = channels * states;
  y.assign(tokens * channels, 0);
  du = ddelta = y;
  last.assign(sequences * state, 0);
  dA = last;
  dB.assign(tokens * states, 0);
  dC = dB;
  dD.assign(sequences * channels, 0);
  dbias = dD;
  kept.assign((length + chunk - 1) / chunk * sequences * state, 0);
  for (int64_t sequence = 0; sequence < sequences; ++sequence)
    for (int64_t e = 0; e < channels; ++e) run(sequence, sequence % paths, e);
}

// one channel of one sequence
void PlainScan::run(int64_t sequence, int64_t k, int64_t e) {
  const int64_t from = sequence * length, u_from = one_u ? sequence / paths * length : from;
  const double skip = D.empty() ? 0 : D[k * own_D * channels + e];
  const auto token = [&](int64_t t) { return orders.empty() ? t : orders[k * length + t]; };
  const auto a = [&](int64_t n) { return A[(k * own_A * states + n) * channels + e]; };
  Numbers before(length * states), h(states, 0), steps(length), slopes(length);
  for (int64_t t = 0; t < length; ++t) {
    const int64_t i = token(t), at = from + i;
    double raw = bias.empty() ? 0 : bias[k * own_bias * channels + e];
    for (int64_t r = 0; r < rank; ++r)
      raw += delta[at * rank + r] * weight[(k * own_weight * rank + r) * channels + e];
    if (!rank) raw += delta[at * channels + e];
    steps[t] = use_softplus ? softplus(raw) : raw;
    slopes[t] = use_softplus ? sigmoid(raw) : 1;
    const double input = u[(u_from + i) * channels + e];
    double sum = skip * input;
    for (int64_t n = 0; n < states; ++n) {
      if (t % chunk == 0) kept[((t / chunk * batch * paths + sequence) * states + n) * channels + e] = h[n];
      before[t * states + n] = h[n];
      h[n] = std::exp(steps[t] * a(n)) * h[n] + steps[t] * input * B[at * states + n];
      sum += h[n] * C[at * states + n];
    }
    y[at * channels + e] = sum;
  }
  Numbers g(states, 0);
  for (int64_t n = 0; n < states; ++n) {
    const int64_t at = (sequence * states + n) * channels + e;
    last[at] = h[n];
    if (!grad_last.empty()) g[n] = grad_last[at];
  }
  for (int64_t t = length - 1; t >= 0; --t) {
    const int64_t i = token(t), at = from + i;
    const double input = u[(u_from + i) * channels + e], dy = grad_y[at * channels + e];
    double through_B = 0, through_A = 0;
    for (int64_t n = 0; n < states; ++n) {
      const double decay = std::exp(steps[t] * a(n)), b = B[at * states + n];
      g[n] += dy * C[at * states + n];
      dC[at * states + n] += dy * (decay * before[t * states + n] + steps[t] * input * b);
      dB[at * states + n] += g[n] * steps[t] * input;
      through_B += g[n] * b;
      g[n] *= decay;
      through_A += g[n] * before[t * states + n] * a(n);
      dA[(sequence * states + n) * channels + e] += g[n] * before[t * states + n] * steps[t];
    }
    const double slope = (through_B * input + through_A) * slopes[t];
    du[at * channels + e] = through_B * steps[t] + skip * dy;
    ddelta[at * channels + e] = slope;
    dbias[sequence * channels + e] += slope;
    dD[sequence * channels + e] += dy * input;
  }
}

void PlainConv::run() {
  y.assign(batch * paths * length * channels, 0);
  dx.assign(batch * length * channels, 0);
  dweight.assign(batch * paths * taps * channels, 0);
  dbias.assign(batch * paths * channels, 0);
  for (int64_t sequence = 0; sequence < batch * paths; ++sequence)
    for (int64_t t = 0; t < length; ++t)
      for (int64_t e = 0; e < channels; ++e) run(sequence, sequence % paths, t, e);
}

void PlainConv::run(int64_t sequence, int64_t k, int64_t t, int64_t e) {
  const int64_t* order = &orders[k * length];
  const int64_t out = (sequence * length + order[t]) * channels + e;
  const int64_t first = std::max<int64_t>(0, taps - 1 - t);  // the first tap that sees a token
  const auto seen = [&](int64_t j) {
    return (sequence / paths * length + order[t - taps + 1 + j]) * channels + e;
  };
  const auto w = [&](int64_t j) { return weight[(k * own_weight * taps + j) * channels + e]; };
  double pre = bias.empty() ? 0 : bias[k * own_bias * channels + e];
  for (int64_t j = first; j < taps; ++j) pre += w(j) * x[seen(j)];
  y[out] = use_silu ? silu(pre) : pre;
  const double g = grad_y[out] * (use_silu ? silu_slope(pre) : 1);
  dbias[sequence * channels + e] += g;
  for (int64_t j = first; j < taps; ++j) {
    dweight[(sequence * taps + j) * channels + e] += g * x[seen(j)];
    dx[seen(j)] += g * w(j);
  }
}

void PlainGate::run() {
  const int64_t pieces = (length + steps - 1) / steps;
  sums.assign(batch * pieces * paths * channels, 0);
  pool_dy.assign(batch * paths * length * channels, 0);
  pool_dz.assign(batch * length * channels, 0);
  merged = merge_dz = pool_dz;
  merge_dy = pool_dy;
  dweights.assign(batch * pieces * paths, 0);
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t k = 0; k < paths; ++k)
      for (int64_t l = 0; l < length; ++l)
        for (int64_t e = 0; e < channels; ++e) {
          const int64_t at_y = ((b * paths + k) * length + l) * channels + e;
          const int64_t at_z = (b * length + l) * channels + e;
          const int64_t piece = b * pieces + l / steps;
          const double gate = silu(z[at_z]), slope = silu_slope(z[at_z]), weight = weights[b * paths + k];
          const double d = grad_pool[(b * paths + k) * channels + e] / length;
          sums[(piece * paths + k) * channels + e] += y[at_y] * gate;
          pool_dy[at_y] = d * gate;
          pool_dz[at_z] += d * y[at_y] * slope;
          merged[at_z] += weight * y[at_y] * gate;
          merge_dy[at_y] = weight * grad_merged[at_z] * gate;
          merge_dz[at_z] += weight * y[at_y] * grad_merged[at_z] * slope;
          dweights[piece * paths + k] += grad_merged[at_z] * gate * y[at_y];
        }
}
