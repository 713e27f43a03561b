#include "wan-emulator/tun_relay.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace skarv::emulator {
namespace {

constexpr size_t kMaxPacketBytes = 2048;  // more than the MTU of the devices
constexpr size_t kMaxBytesInFlight = size_t{256} << 20;
// Then the other direction and what is due have their turn.
constexpr int kMaxPacketsPerTurn = 64;

Status watch(const FileHandle& epoll, int file) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = file;
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, file, &event) == 0) return {};
  return io_error("cannot wait for packets", "epoll", errno);
}

// Absolute, in the steady clock; Time::max(): never.
void arm(const FileHandle& timer, Time due) {
  itimerspec when{};
  if (due != Time::max()) {
    const auto nanoseconds = std::max<int64_t>(due.time_since_epoch().count(), 1);
    when.it_value = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  }
  timerfd_settime(timer.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

}  // namespace

TunRelay::TunRelay(const LinkSettings& settings, std::array<int, 2> tuns)
    : link_(settings, Cargo::kPackets),
      lanes_{Lane(link_.direction(Direction::kA), tuns[0], tuns[1]),
             Lane(link_.direction(Direction::kB), tuns[1], tuns[0])} {}

void TunRelay::take(Lane& lane) {
  char bytes[kMaxPacketBytes];
  Shaper& shaper = lane.shaper;
  for (int i = 0; i < kMaxPacketsPerTurn; ++i) {
    const ssize_t size = read(lane.source, bytes, sizeof bytes);
    if (size <= 0) return;
    const auto num_bytes = static_cast<size_t>(size);
    const Time now = Clock::real().now();
    // A lost packet has taken its time on the link: the loss lies behind it.
    if (shaper.has_room_at(now) > now || lane.num_bytes + num_bytes > kMaxBytesInFlight) {
      shaper.count_dropped();
      continue;
    }
    Time due = shaper.pass(num_bytes, now);
    if (shaper.loses_next()) continue;
    if (!lane.in_flight.empty()) due = std::max(due, lane.in_flight.back().due);
    lane.num_bytes += num_bytes;
    lane.in_flight.push_back({due, std::vector<char>(bytes, bytes + num_bytes)});
  }
}

void TunRelay::deliver(Lane& lane) {
  while (!lane.in_flight.empty() && lane.in_flight.front().due <= Clock::real().now()) {
    const std::vector<char>& bytes = lane.in_flight.front().bytes;
    if (lane.shaper.is_cut() || write(lane.destination, bytes.data(), bytes.size()) < 0) {
      lane.shaper.count_dropped();
    }
    lane.num_bytes -= bytes.size();
    lane.in_flight.pop_front();
  }
}

Status TunRelay::run(std::vector<int> processes) {
  SKARV_TRY(control_.open());
  const FileHandle epoll(epoll_create1(EPOLL_CLOEXEC));
  const FileHandle timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  for (int file : {timer.get(), control_.fd(), lanes_[0].source, lanes_[1].source}) {
    SKARV_TRY(watch(epoll, file));
  }
  for (int process : processes) SKARV_TRY(watch(epoll, process));
  const bool has_processes = !processes.empty();
  while (!control_.is_stopping() && !(has_processes && processes.empty())) {
    Time due = Time::max();
    for (Lane& lane : lanes_) {
      deliver(lane);
      if (!lane.in_flight.empty()) due = std::min(due, lane.in_flight.front().due);
    }
    arm(timer, due);
    epoll_event events[8];
    const int num_events = epoll_wait(epoll.get(), events, 8, -1);
    if (num_events < 0 && errno != EINTR) return io_error("cannot wait", "epoll", errno);
    for (int i = 0; i < num_events; ++i) {
      const int file = events[i].data.fd;
      if (file == control_.fd()) {
        control_.serve();
      } else if (file == lanes_[0].source || file == lanes_[1].source) {
        take(lanes_[file == lanes_[0].source ? 0 : 1]);
        // The namespace is gone, and would be reported for ever.
        if ((events[i].events & (EPOLLERR | EPOLLHUP)) != 0) {
          epoll_ctl(epoll.get(), EPOLL_CTL_DEL, file, nullptr);
        }
      } else if (std::erase(processes, file) > 0) {
        epoll_ctl(epoll.get(), EPOLL_CTL_DEL, file, nullptr);
      }
    }
  }
  return {};
}

}  // namespace skarv::emulator
