// Memory of a task.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <new>

namespace {

// Elements that start as zeros, aligned for vectors. In place of std::vector, whose functions the linker
// would share between what is compiled for several sets of instructions.
template <class V>
class Buffer {
 public:
  explicit Buffer(int64_t count) : count_(count) {
    data_ = static_cast<V*>(::operator new(sizeof(V) * (count > 0 ? count : 1), std::align_val_t(64)));
    clear();
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { ::operator delete(data_, std::align_val_t(64)); }
  void clear() {
    for (int64_t i = 0; i < count_; ++i) data_[i] = V{};
  }
  V* data() { return data_; }
  const V* data() const { return data_; }
  V& operator[](int64_t i) { return data_[i]; }
  const V& operator[](int64_t i) const { return data_[i]; }

 private:
  V* data_;
  int64_t count_;
};

}  // namespace
