// The relay for IP packets between two TUN devices: TCP runs end to end over it, so there is loss,
// congestion control, and a cut that TCP itself can feel. A router in the middle: a packet that
// finds the queue full is dropped, one on a cut link is gone. No reordering. Packets of at most
// 1500 bytes, no segmentation offload. One thread calls run(); execute() and stop() from any.
#pragma once

#include <array>
#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "wan-emulator/control.h"

namespace skarv::emulator {

class TunRelay {
 public:
  // `tuns`: of side a and side b, non-blocking, alive until run() has returned.
  TunRelay(const LinkSettings& settings, std::array<int, 2> tuns);

  Status open_control(const std::filesystem::path& path) { return control_.listen(path); }
  // Until stop(), or until all of `processes` (pidfds) have ended, if there are any.
  Status run(std::vector<int> processes);
  void stop() { control_.stop(); }  // also from a signal handler
  // REQUIRES: run() is under way, or will be.
  std::string execute(const std::string& line) { return control_.execute(line); }
  Status open() { return control_.open(); }  // before execute() or stop() from elsewhere
  Json stats() const { return link_.stats(); }

 private:
  struct Packet {
    Time due;
    std::vector<char> bytes;
  };
  struct Lane {  // one direction
    Lane(Shaper& its_shaper, int from, int to)
        : shaper(its_shaper), source(from), destination(to) {}
    Shaper& shaper;
    int source, destination;
    std::deque<Packet> in_flight;
    size_t num_bytes = 0;  // in flight
  };

  void take(Lane& lane);     // what the source has
  void deliver(Lane& lane);  // what is due

  Link link_;
  Control control_{link_};
  std::array<Lane, 2> lanes_;
};

}  // namespace skarv::emulator
