// A runtime for what g++ makes of `#pragma omp parallel for`, on std::thread.
//
// ThreadSanitizer does not see how libgomp's threads wait for each other and finds races where there are
// none; it does see std::thread. The sources are compiled as they are, with -fopenmp, and linked with this
// in place of libgomp. The tasks of a dynamic schedule are dealt one by one in turn: neighbouring tasks are
// always on different threads, and a case runs the same way each time.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace {

// A thread that does one job after another: starting one for each takes ThreadSanitizer milliseconds
class Worker {
 public:
  ~Worker() {
    start(nullptr);
    thread_.join();
  }
  void start(std::function<void()> job) {
    const std::lock_guard<std::mutex> lock(mutex_);
    job_ = std::move(job);
    busy_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return !busy_; });
  }

 private:
  void work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return busy_; });
      if (!job_) return;
      lock.unlock();
      job_();
      lock.lock();
      busy_ = false;
      changed_.notify_all();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> job_;
  bool busy_ = false;
  std::thread thread_{[this] { work(); }};
};

// f(0) to f(count - 1) at once, f(0) on this thread
template <class F>
void together(std::vector<std::unique_ptr<Worker>>& workers, int count, F f) {
  while (int(workers.size()) < count - 1) workers.push_back(std::make_unique<Worker>());
  for (int i = 1; i < count; ++i) workers[i - 1]->start([=] { f(i); });
  f(0);
  for (int i = 1; i < count; ++i) workers[i - 1]->wait();
}

}  // namespace

#if defined(_OPENMP) && !defined(__clang__)

namespace {

// This thread's place in its team, and the tasks of a dynamic schedule that are left to it
struct Member {
  int index = 0, team = 1;
  long next = 0, end = 0, step = 1;
};
thread_local Member member;
thread_local std::vector<std::unique_ptr<Worker>> members;

}  // namespace

extern "C" {

int omp_get_thread_num() { return member.index; }
int omp_get_num_threads() { return member.team; }

void GOMP_parallel(void (*body)(void*), void* data, unsigned team, unsigned) {
  together(members, int(team), [=](int index) {
    member = {index, int(team)};
    body(data);
    member = {};
  });
}
bool GOMP_loop_nonmonotonic_dynamic_next(long* first, long* last) {
  if (member.next >= member.end) return false;
  *first = member.next;
  *last = member.next + member.step;
  member.next += member.team * member.step;
  return true;
}
bool GOMP_loop_nonmonotonic_dynamic_start(long start, long end, long step, long, long* first, long* last) {
  member.next = start + member.index * step;
  member.end = end;
  member.step = step;
  return GOMP_loop_nonmonotonic_dynamic_next(first, last);
}
void GOMP_loop_end_nowait() {}
}

#endif
