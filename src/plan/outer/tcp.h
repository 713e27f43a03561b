// What TCP gives between two sites: bandwidth under loss, and what a burst after a pause costs.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace skarv {

enum class CongestionControl { kReno, kCubic, kBbr };
const char* name_of(CongestionControl control);
// "reno", "cubic", "bbr". Error: kNotFound with the nearest name.
Result<CongestionControl> congestion_control_from(const std::string& name);

struct TcpPath {
  double bandwidth = 0;   // bytes/s of the link for one that has it to itself
  double round_trip = 0;  // seconds
  double loss = 0;        // fraction of packets that get lost, by chance
  int num_streams = 2;
  CongestionControl control = CongestionControl::kCubic;
};

// Bytes/s of one stream that sends without end, not limited by the link:
//   Reno    MSS / RTT * sqrt(3 / 2p)                        Mathis et al., CCR 1997
//   CUBIC   MSS / RTT * 1.054 (RTT / p)^(3/4), at least     RFC 9438, 5.1, beta 0.7, C 0.4
//           what a Reno flow of its parameters gets
//   BBR     not set by loss up to about 15 %: no limit      BBR, ACM Queue 2016
// Without loss: no limit.
double stream_limit(const TcpPath& path);
// Of all streams together, at most the link, less what has to be sent again.
double tcp_throughput(const TcpPath& path);
// Seconds that a burst of `bytes` takes beyond bytes / throughput because every stream starts again
// from ten segments (RFC 6928) and doubles each round trip: idle connections fall back to that.
// Both together never rise with the bandwidth.
double slow_start_seconds(const TcpPath& path, double bytes);

// Fewest streams (up to 64) that fill nine tenths of the link; 64 where none do.
int streams_wanted(const TcpPath& path);

}  // namespace skarv
