#include "interrupt.h"

#include <signal.h>

#include <atomic>

namespace skarv {

namespace {
std::atomic<int> interrupts{0};
static_assert(std::atomic<int>::is_always_lock_free);
}  // namespace

void watch_interrupts() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupts.fetch_add(1); };
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

int num_interrupts() { return interrupts.load(); }

}  // namespace skarv
