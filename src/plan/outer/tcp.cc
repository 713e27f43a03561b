#include "plan/outer/tcp.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/text.h"

namespace skarv {
namespace {

constexpr double kSegment = 1448;  // bytes of payload: Ethernet's 1500 less headers, time stamps
constexpr double kInitialSegments = 10;  // RFC 6928
constexpr double kBbrLoss = 0.15;        // beyond it BBR too collapses
constexpr int kMostStreams = 64;

}  // namespace

const char* name_of(CongestionControl control) {
  switch (control) {
    case CongestionControl::kReno:
      return "reno";
    case CongestionControl::kCubic:
      return "cubic";
    case CongestionControl::kBbr:
      return "bbr";
  }
  return "unknown";
}

Result<CongestionControl> congestion_control_from(const std::string& name) {
  std::vector<std::string> known;
  for (CongestionControl one :
       {CongestionControl::kReno, CongestionControl::kCubic, CongestionControl::kBbr}) {
    if (name == name_of(one)) return one;
    known.emplace_back(name_of(one));
  }
  const std::string nearest = nearest_name(name, known);
  return Status(Code::kNotFound, Scope::kConfig, cat("no congestion control \"", name, "\""))
      .with_hint(nearest.empty() ? "there are " + join(known, ", ")
                                 : cat("did you mean ", nearest, "?"));
}

double stream_limit(const TcpPath& path) {
  constexpr double kNone = std::numeric_limits<double>::infinity();
  if (path.loss <= 0 || path.round_trip <= 0) return kNone;
  const double reno = std::sqrt(1.5 / path.loss);
  double segments = kNone;
  switch (path.control) {
    case CongestionControl::kReno:
      segments = reno;
      break;
    case CongestionControl::kCubic:
      segments = std::max(1.054 * std::pow(path.round_trip / path.loss, 0.75), reno);
      break;
    case CongestionControl::kBbr:
      if (path.loss > kBbrLoss) segments = reno;
      break;
  }
  return segments * kSegment / path.round_trip;
}

double tcp_throughput(const TcpPath& path) {
  return std::min(path.num_streams * stream_limit(path), path.bandwidth * (1 - path.loss));
}

double slow_start_seconds(const TcpPath& path, double bytes) {
  if (path.round_trip <= 0 || bytes <= 0) return 0;
  const double full = tcp_throughput(path) * path.round_trip;  // bytes in flight
  double window = kInitialSegments * kSegment * path.num_streams, sent = 0, lost = 0;
  // Each window short of a full one that is not the last is waited for: its bytes leave as fast as
  // any, the rest of the round trip passes without.
  while (window < full && sent + window < bytes) {
    lost += path.round_trip * (1 - window / full);
    sent += window;
    window *= 2;
  }
  return lost;
}

int streams_wanted(const TcpPath& path) {
  TcpPath one = path;
  for (one.num_streams = 1; one.num_streams < kMostStreams; ++one.num_streams) {
    if (tcp_throughput(one) >= 0.9 * path.bandwidth * (1 - path.loss)) break;
  }
  return one.num_streams;
}

}  // namespace skarv
