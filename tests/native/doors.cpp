// Random calls of the native backend's doors, to be compiled with a sanitizer; see sanitize.py.
//
//     doors FIRST COUNT
//
// runs the cases FIRST to FIRST + COUNT - 1; each is drawn from its number alone. Every buffer is as large
// as the call needs and not a byte larger, what lies between rows is NaN, and so is every output before:
// one that is left unwritten, or is made of what is not an input, shows. Where the inputs are moderate,
// results are compared with formulas.h; with several threads, to the bit with one.
#include <sanitizer/common_interface_defs.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>

#include "formulas.h"
#include "omp_threads.h"
#include "scan_cpu.cpp"

namespace {

int64_t current = -1;  // number of the case that runs
std::string described;
std::vector<std::unique_ptr<Worker>> callers;

void say_case() {
  if (current >= 0)
    std::fprintf(stderr, "case %lld (%s)\n", static_cast<long long>(current), described.c_str());
}

[[noreturn]] void fail(const char* what, double found = 0, double due = 0) {
  std::fprintf(stderr, "WRONG: %s: %.9g, not %.9g\n", what, found, due);
  say_case();
  std::_Exit(1);
}

// splitmix64
struct Random {
  uint64_t state;
  uint64_t next() {
    uint64_t x = state += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }
  int64_t below(int64_t n) { return int64_t(next() % uint64_t(n)); }
  bool one_in(int64_t n) { return below(n) == 0; }
  // 1 to `most`, small ones more often
  int64_t size(int64_t most) { return 1 + below(1 + below(most)); }
  double uniform(double low, double high) { return low + (high - low) * double(next() >> 11) * 0x1p-53; }
};

// as malloc gives it, but for a shift by whole elements; an absent one has no address
template <class T>
struct Memory {
  std::unique_ptr<void, decltype(&std::free)> block{nullptr, &std::free};
  T* data = nullptr;
  int64_t count = 0;

  Memory() = default;
  explicit Memory(int64_t n, int64_t shift = 0) : count(n) {
    if (!n) return;
    block.reset(std::malloc((shift + n) * sizeof(T)));
    data = static_cast<T*>(block.get()) + shift;
  }
};

// a NaN that no arithmetic makes
template <class T>
struct Unset;
template <>
struct Unset<float> {
  static constexpr uint32_t bits = 0x7fc5eed5;
};
template <>
struct Unset<double> {
  static constexpr uint64_t bits = 0x7ff85eed5eed5eed;
};
template <class T>
void unset(T* first, int64_t n) {
  for (int64_t i = 0; i < n; ++i) std::memcpy(first + i, &Unset<T>::bits, sizeof(T));
}

// Sequences of rows of numbers: so many elements lie between two sequences, rows, and numbers of a row
template <class T>
struct Tensor {
  Memory<T> memory;
  int64_t rows = 0, width = 0, length = 1, sequence = 0, row = 0, column = 1;

  T& at(int64_t i, int64_t j) const {
    return memory.data[i / length * sequence + i % length * row + j * column];
  }
  Numbers dense() const {
    Numbers numbers;
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < width; ++j) numbers.push_back(at(i, j));
    return numbers;
  }
  // as the scan's door has them: of an image, an order (0 where the orders share it), a row, and a number
  std::vector<int64_t> strides(int64_t paths) const {
    return {paths * sequence, paths > 1 ? sequence : 0, row, column};
  }
};

using Door = void (*)(const int64_t*, const void* const*, void* const*, int64_t, int);

template <class T>
struct Doors;
#define DOORS_OF(T, suffix)                                                        \
  template <>                                                                      \
  struct Doors<T> {                                                                \
    static constexpr Door scan[] = {NAMED(scan_forward, suffix, INSTRUCTIONS),     \
                                    NAMED(scan_backward, suffix, INSTRUCTIONS)};   \
    static constexpr Door conv[] = {NAMED(conv_forward, suffix, INSTRUCTIONS),     \
                                    NAMED(conv_backward, suffix, INSTRUCTIONS)};   \
    static constexpr Door pool[] = {NAMED(pool_forward, suffix, INSTRUCTIONS),     \
                                    NAMED(pool_backward, suffix, INSTRUCTIONS)};   \
    static constexpr Door merge[] = {NAMED(merge_forward, suffix, INSTRUCTIONS),   \
                                     NAMED(merge_backward, suffix, INSTRUCTIONS)}; \
  };
DOORS_OF(float, f32)
DOORS_OF(double, f64)

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreads = true;
#else
constexpr bool kThreads = false;
#endif

template <class T>
class Case {
 public:
  explicit Case(int64_t number) : random_{uint64_t(number) * 0x9e3779b97f4a7c15 + 1} {
    wild_ = random_.one_in(4);
    const bool parallel = kThreads || random_.one_in(8);
    threads_ = parallel ? 2 + int(random_.below(3)) : 1;
    callers_ = parallel && random_.one_in(4) ? 2 : 1;
    batch_ = random_.size(3);
    paths_ = random_.size(4);
    length_ = random_.size(random_.one_in(8) ? 100 : 16);
    channels_ = random_.size(40);
    say("%s%s %d threads, %d callers, batch %lld, paths %lld, length %lld, channels %lld",
        sizeof(T) == 4 ? "float32" : "float64", wild_ ? ", wild," : ",", threads_, callers_, batch_, paths_,
        length_, channels_);
  }

  void scan() {
    const int64_t usual[] = {4, 8, 16};
    PlainScan plain;
    plain.batch = batch_, plain.paths = paths_, plain.length = length_, plain.channels = channels_;
    plain.states = random_.one_in(2) ? usual[random_.below(3)] : random_.size(33);
    plain.rank = random_.one_in(2) ? random_.size(6) : 0;
    plain.chunk = random_.size(std::min<int64_t>(length_, 64));
    plain.one_u = random_.one_in(2) && paths_ > 1;
    plain.use_softplus = random_.one_in(2);
    const int64_t sequences = batch_ * paths_, states = plain.states, rank = plain.rank;
    const int64_t tokens = sequences * length_, channels = channels_;
    const bool has_D = random_.one_in(2), has_bias = random_.one_in(2), kept_too = !random_.one_in(4);
    const bool has_orders = random_.one_in(2), has_last = random_.one_in(2);
    plain.own_A = random_.one_in(2), plain.own_D = has_D && random_.one_in(2);
    plain.own_bias = has_bias && random_.one_in(2), plain.own_weight = rank && random_.one_in(2);
    const int64_t blocks = (channels + kLanes<T> - 1) / kLanes<T>;
    const int64_t groups = random_.size(std::min<int64_t>(blocks, 4));
    say("; scan: states %lld, rank %lld, chunk %lld, groups %lld", states, rank, plain.chunk, groups);

    // without softplus, and through a projection without it, the steps are to be positive and small
    const double low = plain.use_softplus ? -3 : 0, high = plain.use_softplus ? 3 : rank ? 0.2 : 0.5;
    const auto own = [&](bool each) { return each ? paths_ : 1; };
    const Tensor<T> u = laid((plain.one_u ? batch_ : sequences) * length_, channels);
    const Tensor<T> delta = laid(tokens, rank ? rank : channels, low, high);
    const Tensor<T> A = dense(own(plain.own_A) * states, channels, -3, -0.1);
    const Tensor<T> B = laid(tokens, states), C = laid(tokens, states);
    const Tensor<T> D = has_D ? dense(own(plain.own_D), channels) : Tensor<T>();
    const Tensor<T> bias = has_bias ? dense(own(plain.own_bias), channels, low, high) : Tensor<T>();
    const Tensor<T> weight =
        rank ? dense(own(plain.own_weight) * rank, channels, low / 3, high) : Tensor<T>();
    const Memory<int64_t> orders = has_orders ? permutations() : Memory<int64_t>();
    const Tensor<T> grad_y = laid(tokens, channels);
    const Tensor<T> grad_last = has_last ? dense(sequences * states, channels) : Tensor<T>();

    std::vector<int64_t> sizes = {batch_,
                                  paths_,
                                  length_,
                                  channels,
                                  states,
                                  rank,
                                  plain.chunk,
                                  plain.use_softplus,
                                  plain.own_A ? states * channels : 0,
                                  plain.own_D ? channels : 0,
                                  plain.own_bias ? channels : 0,
                                  plain.own_weight ? rank * channels : 0};
    const auto add_strides = [&](const Tensor<T>& x, int64_t paths) {
      for (int64_t stride : x.strides(paths)) sizes.push_back(stride);
    };
    add_strides(u, plain.one_u ? 1 : paths_);
    for (const auto* x : {&delta, &B, &C}) add_strides(*x, paths_);
    std::vector<const void*> in = {u.memory.data,    delta.memory.data,  B.memory.data,
                                   C.memory.data,    A.memory.data,      D.memory.data,
                                   bias.memory.data, weight.memory.data, orders.data};
    const int64_t chunks = (length_ + plain.chunk - 1) / plain.chunk;
    const int64_t state_size = sequences * states * channels;
    const auto forward = call(Doors<T>::scan[0], sizes, in,
                              {tokens * channels, state_size, kept_too ? chunks * state_size : 0}, groups);
    const auto with_states =
        kept_too ? Memory<T>()
                 : std::move(call(Doors<T>::scan[0], sizes, in,
                                  {tokens * channels, state_size, chunks * state_size}, groups)[2]);
    const Memory<T>& kept = kept_too ? forward[2] : with_states;
    in.insert(in.end(), {grad_y.memory.data, grad_last.memory.data, kept.data});
    add_strides(grad_y, paths_);
    const auto backward =
        call(Doors<T>::scan[1], sizes, in,
             {tokens * channels, tokens * channels, groups * tokens * states, groups * tokens * states,
              state_size, sequences * channels, sequences * channels},
             groups);

    if (wild_) return;
    plain.u = u.dense(), plain.delta = delta.dense(), plain.A = A.dense(), plain.B = B.dense();
    plain.C = C.dense(), plain.D = D.dense(), plain.bias = bias.dense(), plain.weight = weight.dense();
    plain.grad_y = grad_y.dense(), plain.grad_last = grad_last.dense();
    plain.orders.assign(orders.data, orders.data + orders.count);
    plain.run();
    compare("scan: y", forward[0], plain.y);
    compare("scan: last state", forward[1], plain.last);
    compare("scan: kept states", kept, plain.kept);
    compare("scan: du", backward[0], plain.du);
    compare("scan: ddelta", backward[1], plain.ddelta);
    compare("scan: dB", backward[2], plain.dB, groups);
    compare("scan: dC", backward[3], plain.dC, groups);
    compare("scan: dA", backward[4], plain.dA);
    compare("scan: dD", backward[5], plain.dD);
    compare("scan: dbias", backward[6], plain.dbias);
  }

  void conv() {
    PlainConv plain;
    plain.batch = batch_, plain.paths = paths_, plain.length = length_, plain.channels = channels_;
    plain.taps = random_.one_in(32) ? 1 + random_.below(kMaxTaps) : random_.size(8);
    plain.use_silu = random_.one_in(2);
    plain.own_weight = random_.one_in(2);
    const bool has_bias = random_.one_in(2);
    plain.own_bias = has_bias && random_.one_in(2);
    const int64_t taps = plain.taps, sequences = batch_ * paths_;
    const int64_t blocks = (channels_ + kLanes<T> - 1) / kLanes<T>;
    const int64_t groups = random_.size(std::min<int64_t>(blocks, 4));
    say("; conv: taps %lld, groups %lld", taps, groups);

    const Tensor<T> x = rows(batch_ * length_, channels_);
    const Tensor<T> weight = dense((plain.own_weight ? paths_ : 1) * taps, channels_);
    const Tensor<T> bias = has_bias ? dense(plain.own_bias ? paths_ : 1, channels_) : Tensor<T>();
    const Memory<int64_t> orders = permutations();
    const Tensor<T> grad_y = dense(sequences * length_, channels_);
    const std::vector<int64_t> sizes = {batch_,
                                        paths_,
                                        length_,
                                        channels_,
                                        taps,
                                        x.row,
                                        plain.use_silu,
                                        plain.own_weight ? taps * channels_ : 0,
                                        plain.own_bias ? channels_ : 0};
    std::vector<const void*> in = {x.memory.data, weight.memory.data, bias.memory.data, orders.data};
    const auto forward = call(Doors<T>::conv[0], sizes, in, {sequences * length_ * channels_}, groups);
    in.push_back(grad_y.memory.data);
    const auto backward =
        call(Doors<T>::conv[1], sizes, in,
             {batch_ * length_ * channels_, sequences * taps * channels_, sequences * channels_}, groups);

    if (wild_) return;
    plain.x = x.dense(), plain.weight = weight.dense(), plain.bias = bias.dense();
    plain.grad_y = grad_y.dense();
    plain.orders.assign(orders.data, orders.data + orders.count);
    plain.run();
    compare("conv: y", forward[0], plain.y);
    compare("conv: dx", backward[0], plain.dx);
    compare("conv: dweight", backward[1], plain.dweight);
    compare("conv: dbias", backward[2], plain.dbias);
  }

  void gate() {
    say("; gate");
    PlainGate plain;
    plain.batch = batch_, plain.paths = paths_, plain.length = length_, plain.channels = channels_;
    plain.steps = Gate<T>::kSteps;
    const int64_t of_y = batch_ * paths_ * length_ * channels_, of_z = batch_ * length_ * channels_;
    const int64_t pieces = (length_ + plain.steps - 1) / plain.steps;
    const Tensor<T> y = dense(batch_ * paths_ * length_, channels_), z = rows(batch_ * length_, channels_);
    const Tensor<T> weights = dense(batch_, paths_), grad_pool = dense(batch_ * paths_, channels_);
    const Tensor<T> grad_merged = dense(batch_ * length_, channels_);
    const std::vector<int64_t> sizes = {batch_, paths_, length_, channels_, z.row};
    const void *py = y.memory.data, *pz = z.memory.data, *pw = weights.memory.data;
    const auto sums = call(Doors<T>::pool[0], sizes, {py, pz}, {batch_ * pieces * paths_ * channels_});
    const auto pooled = call(Doors<T>::pool[1], sizes, {py, pz, grad_pool.memory.data}, {of_y, of_z});
    const auto merged = call(Doors<T>::merge[0], sizes, {py, pz, pw}, {of_z});
    const auto backward = call(Doors<T>::merge[1], sizes, {py, pz, pw, grad_merged.memory.data},
                               {of_y, of_z, batch_ * pieces * paths_});

    if (wild_) return;
    plain.y = y.dense(), plain.z = z.dense(), plain.weights = weights.dense();
    plain.grad_pool = grad_pool.dense(), plain.grad_merged = grad_merged.dense();
    plain.run();
    compare("pool: sums", sums[0], plain.sums);
    compare("pool: dy", pooled[0], plain.pool_dy);
    compare("pool: dz", pooled[1], plain.pool_dz);
    compare("merge: out", merged[0], plain.merged);
    compare("merge: dy", backward[0], plain.merge_dy);
    compare("merge: dz", backward[1], plain.merge_dz);
    compare("merge: dweights", backward[2], plain.dweights);
  }

 private:
  Random random_;
  bool wild_;
  int threads_, callers_;
  int64_t batch_, paths_, length_, channels_;

  template <class... Numbers>
  static void say(const char* format, Numbers... numbers) {
    char text[256];
    std::snprintf(text, sizeof(text), format, numbers...);
    described += text;
  }

  T value(double low, double high) {
    if (wild_ && random_.one_in(4)) {
      using Limits = std::numeric_limits<T>;
      const T odd[] = {Limits::quiet_NaN(),
                       Limits::infinity(),
                       -Limits::infinity(),
                       Limits::max(),
                       Limits::lowest(),
                       Limits::denorm_min(),
                       T(-0.0),
                       T(1e30)};
      return odd[random_.below(8)];
    }
    return T(random_.uniform(low, high));
  }

  // as the scan reads its tensors: by rows, or by columns, as those of a tensor (B, N, L) are
  Tensor<T> laid(int64_t rows, int64_t width, double low = -1, double high = 1) {
    if (random_.one_in(2)) return this->rows(rows, width, low, high);
    const int64_t column = length_ + random_.below(3), sequence = width * column + random_.below(3);
    return tensor({{}, rows, width, length_, sequence, 1, column}, low, high);
  }
  Tensor<T> rows(int64_t rows, int64_t width, double low = -1, double high = 1) {
    const int64_t row = random_.one_in(2) ? width : width + random_.size(9);
    return tensor({{}, rows, width, length_, length_ * row, row}, low, high);
  }
  Tensor<T> dense(int64_t rows, int64_t width, double low = -1, double high = 1) {
    return tensor({{}, rows, width, rows, 0, width}, low, high);
  }
  Tensor<T> tensor(Tensor<T> x, double low, double high) {
    // all strides are positive, so the last number lies last
    const int64_t i = x.rows - 1, j = x.width - 1;
    const int64_t last = i / x.length * x.sequence + i % x.length * x.row + j * x.column;
    x.memory = Memory<T>(x.rows && x.width ? last + 1 : 0, random_.below(4));
    unset(x.memory.data, x.memory.count);
    for (int64_t i = 0; i < x.rows; ++i)
      for (int64_t j = 0; j < x.width; ++j) x.at(i, j) = value(low, high);
    return x;
  }

  Memory<int64_t> permutations() {
    Memory<int64_t> orders(paths_ * length_, random_.below(2));
    for (int64_t k = 0; k < paths_; ++k) {
      int64_t* order = orders.data + k * length_;
      for (int64_t i = 0; i < length_; ++i) {
        const int64_t j = random_.below(i + 1);
        order[i] = order[j];
        order[j] = i;
      }
    }
    return orders;
  }

  // Outputs of a door, from each caller at once; checked to be whole and the same as with one thread
  std::vector<Memory<T>> call(Door door, const std::vector<int64_t>& sizes,
                              const std::vector<const void*>& in, const std::vector<int64_t>& counts,
                              int64_t groups = 1) {
    std::vector<std::vector<Memory<T>>> results(callers_);
    const auto run = [&](std::vector<Memory<T>>& result, int threads) {
      std::vector<void*> out;
      for (int64_t count : counts) {
        result.emplace_back(count, count % 3);
        unset(result.back().data, count);
        out.push_back(result.back().data);
      }
      door(sizes.data(), in.data(), out.data(), groups, threads);
    };
    together(callers, callers_, [&](int caller) { run(results[caller], threads_); });
    if (threads_ > 1) run(results.emplace_back(), 1);
    for (const auto& result : results)
      for (size_t i = 0; i < counts.size(); ++i) {
        const T *p = result[i].data, *first = results[0][i].data;
        for (int64_t j = 0; j < counts[i]; ++j)
          if (!std::memcmp(p + j, &Unset<T>::bits, sizeof(T))) fail("an output is not written", j);
        if (counts[i] && std::memcmp(p, first, counts[i] * sizeof(T)))
          fail("results differ between callers or numbers of threads");
      }
    return std::move(results[0]);
  }

  // `found` may be given in parts that are to be added up
  void compare(const char* what, const Memory<T>& found, const Numbers& due, int64_t parts = 1) const {
    const double tolerance = sizeof(T) == 4 ? 1e-4 : 1e-11;
    const int64_t count = int64_t(due.size());
    double largest = 1;
    for (double x : due) largest = std::max(largest, std::fabs(x));
    if (found.count != count * parts) fail(what, double(found.count), double(count * parts));
    for (int64_t i = 0; i < count; ++i) {
      double sum = 0;
      for (int64_t part = 0; part < parts; ++part) sum += double(found.data[part * count + i]);
      if (!(std::fabs(sum - due[i]) <= tolerance * largest)) fail(what, sum, due[i]);
    }
  }
};

template <class T>
void run_case(int64_t number) {
  Case<T> drawn(number);
  switch (number / 2 % 4) {
    case 0: return drawn.conv();
    case 1: return drawn.gate();
    default: return drawn.scan();
  }
}

bool processor_fits() {
#if defined(__AVX512F__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#elif defined(__AVX2__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: doors FIRST COUNT\n");
    return 2;
  }
  if (!processor_fits()) return 77;
  __sanitizer_set_death_callback(say_case);
  const int64_t first = std::atoll(argv[1]), end = first + std::atoll(argv[2]);
  for (int64_t number = first; number < end; ++number) {
    current = number;
    described.clear();
    number % 2 ? run_case<double>(number) : run_case<float>(number);
  }
  std::printf("%lld cases\n", static_cast<long long>(end - first));
}
