#include "plan/outer/outer_round.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>

#include "base/text.h"
#include "plan/simulate/flow_pool.h"
#include "spec/uplink.h"

namespace skarv {
namespace {

constexpr int64_t kBlock = 64;         // values of an int4 block: bf16 scale and 32 bytes
constexpr double kKeeperRate = 0.5e9;  // values/s of a keeper: encode, merge, decode, apply
constexpr int kNumTrips = 5;           // one-way: OPEN, OFFER, CLOSE, ACCEPT and back, COMMIT
constexpr double kSlowest = 1.0;       // bytes/s, so that no time is infinite

int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }

class Round {
 public:
  Round(const std::vector<OuterIsland>& islands, const OuterSetting& setting)
      : islands_(islands), setting_(setting) {}

  Result<OuterRound> price() {
    for (const OuterIsland& island : islands_) {
      if (setting_.cluster.find_site(island.site) == nullptr) {
        return Status(Code::kNotFound, Scope::kConfig, cat("the cluster has no site ", island.site))
            .at(island.name);
      }
    }
    const ExchangeSettings& exchange = setting_.exchange;
    const bool exact = exchange.mode == ExchangeMode::kGradient;
    result_.steps =
        exact ? 1
              : std::max<int64_t>(1, exchange.inner_steps / std::max(1, exchange.num_fragments));
    add_waits(exact);
    if (islands_.size() < 2) return result_;
    const int num_fragments = exact ? 1 : std::max(1, exchange.num_fragments);
    const int64_t values = (setting_.num_parameters + num_fragments - 1) / num_fragments;
    const auto codec_of = [&](CodecKind codec) { return exact ? CodecKind::kIdentity : codec; };
    result_.fragment_bytes_up = encoded_bytes(codec_of(exchange.upload), values);
    result_.fragment_bytes_down = encoded_bytes(codec_of(exchange.download), values);
    SKARV_TRY(add_paths());
    result_.contribute_ns = transfer(result_.fragment_bytes_up, /*merged=*/false);
    result_.merged_ns = transfer(result_.fragment_bytes_down, /*merged=*/true);
    double longest_trip = 0;
    for (const auto& [pair, path] : paths_) longest_trip = std::max(longest_trip, path.round_trip);
    result_.trips_ns = nanoseconds(kNumTrips * longest_trip / 2);
    int fewest = islands_[0].num_keepers;
    for (const OuterIsland& island : islands_) fewest = std::min(fewest, island.num_keepers);
    result_.keeper_ns =
        nanoseconds(static_cast<double>(values) / (kKeeperRate * std::max(1, fewest)));
    const int64_t overlap_steps =
        exact ? 0 : std::min<int64_t>(exchange.overlap_steps, result_.steps);
    result_.overlap_ns = overlap_steps * (result_.compute_ns / result_.steps);
    result_.exposed_ns = std::max<int64_t>(0, result_.round_trip_ns() - result_.overlap_ns);
    result_.utilisation =
        static_cast<double>(result_.compute_ns) / static_cast<double>(result_.period_ns());
    return result_;
  }

 private:
  // A round closes when K are there and the grace is over, or all are; one left out twice is waited
  // for in the third (rule 12).
  void add_waits(bool exact) {
    std::vector<int64_t> times;
    for (const OuterIsland& island : islands_) times.push_back(island.step_ns * result_.steps);
    std::vector<int64_t> sorted = times;
    std::ranges::sort(sorted);
    const ExchangeSettings& exchange = setting_.exchange;
    const size_t all = sorted.size();
    const size_t wanted =
        exact || exchange.contributions <= 0 ? all : std::min<size_t>(all, exchange.contributions);
    const double grace = std::min(exchange.detection_seconds, exchange.round_budget_seconds / 10);
    const int64_t early =
        std::min(sorted.back(), sorted[wanted - 1] + (wanted < all ? nanoseconds(grace) : 0));
    result_.compute_ns = wanted < all ? (2 * early + sorted.back()) / 3 : sorted.back();
    for (size_t i = 0; i < all; ++i) {
      const double part = 1 - static_cast<double>(times[i]) /
                                  static_cast<double>(std::max<int64_t>(1, result_.compute_ns));
      const bool is_slowest = times[i] == sorted.back();
      result_.waits.push_back(is_slowest ? -1 : std::max(0.0, part));
      if (is_slowest && result_.slowest.empty()) result_.slowest = islands_[i].name;
    }
  }

  Status add_paths() {
    for (size_t a = 0; a < islands_.size(); ++a) {
      for (size_t b = 0; b < islands_.size(); ++b) {
        if (a == b || islands_[a].site == islands_[b].site) continue;
        const Link* link = setting_.cluster.find_link(islands_[a].site, islands_[b].site);
        if (link == nullptr) {
          return Status(Code::kNotFound, Scope::kConfig,
                        cat("the cluster has no link between ", islands_[a].site, " and ",
                            islands_[b].site))
              .with_hint("add a [[link]] to the cluster file");
        }
        paths_[{a, b}] = {link->bandwidth, link->round_trip + 2 * link->jitter, link->loss,
                          setting_.num_streams, setting_.control};
      }
    }
    return {};
  }

  // Part of the slabs that an island merges.
  double share(size_t island) const {
    double sum = 0;
    for (const OuterIsland& one : islands_) sum += uplink_of(setting_.cluster, one.site);
    return uplink_of(setting_.cluster, islands_[island].site) / sum;
  }

  // All flows of a transfer begin at once; the last one's end counts.
  int64_t transfer(int64_t fragment_bytes, bool merged) {
    FlowPool pool;
    std::map<std::string, int> wires;
    const auto wire = [&](const std::string& name, double capacity) {
      const auto [entry, is_new] = wires.emplace(name, 0);
      if (is_new) entry->second = pool.add_resource(static_cast<int64_t>(capacity));
      return entry->second;
    };
    std::deque<std::vector<WireUse>> used;
    std::map<int, double> extra;  // by flow: seconds of slow start and of the way
    int64_t last = 0;
    std::vector<int> moved;
    size_t num_running = 0;
    for (const auto& [pair, path] : paths_) {
      const auto& [from, to] = pair;
      const auto bytes = static_cast<int64_t>(
          std::ceil(share(merged ? from : to) * static_cast<double>(fragment_bytes)));
      const double rate = std::max(kSlowest, tcp_throughput(path));
      std::vector<WireUse>& uses = used.emplace_back();
      const std::string &a = islands_[from].site, &b = islands_[to].site;
      for (const auto& [site, way] : {std::pair(a, " out"), std::pair(b, " in")}) {
        const double uplink = setting_.cluster.find_site(site)->uplink_bandwidth;
        if (uplink > 0) uses.push_back({wire(site + way, uplink), 1});
      }
      uses.push_back({wire(a + " to " + b, path.bandwidth), 1});
      const int flow = pool.start(0, bytes, nanoseconds(static_cast<double>(bytes) / rate), uses);
      extra[flow] = slow_start_seconds(path, static_cast<double>(bytes));
      ++num_running;
      result_.bytes += bytes;
      note(from, to, bytes, rate);
    }
    std::map<int, bool> ended;
    pool.settle(0, moved);
    while (num_running > 0) {
      int next = -1;
      for (const auto& [flow, seconds] : extra) {
        if (!ended[flow] && (next < 0 || pool.end(flow) < pool.end(next))) next = flow;
      }
      const int64_t now = pool.end(next);
      last = std::max(last, now + nanoseconds(extra[next]));
      ended[next] = true;
      pool.finish(now, next);
      pool.settle(now, moved);
      --num_running;
    }
    return last;
  }

  void note(size_t from, size_t to, int64_t bytes, double rate) {
    for (TransferFigures& one : result_.transfers) {
      if (one.from != islands_[from].name || one.to != islands_[to].name) continue;
      one.bytes += bytes;
      return;
    }
    result_.transfers.push_back({islands_[from].name, islands_[to].name, bytes, rate});
  }

  const std::vector<OuterIsland>& islands_;
  const OuterSetting& setting_;
  std::map<std::pair<size_t, size_t>, TcpPath> paths_;
  OuterRound result_;
};

}  // namespace

int64_t encoded_bytes(CodecKind codec, int64_t num_values) {
  if (codec == CodecKind::kIdentity) return 4 * num_values;
  const int64_t rest = num_values % kBlock;
  return num_values / kBlock * (2 + kBlock / 2) + (rest > 0 ? 2 + (rest + 1) / 2 : 0);
}

Result<OuterRound> price_round(const std::vector<OuterIsland>& islands,
                               const OuterSetting& setting) {
  if (islands.empty()) return config_error("there is no island").with_hint("the plan needs one");
  return Round(islands, setting).price();
}

Result<std::vector<std::string>> advise(const std::vector<OuterIsland>& islands,
                                        const OuterSetting& setting) {
  constexpr int64_t kMostOverlap = 5;       // steps; beyond it published runs lose quality
  constexpr int64_t kMostInnerSteps = 100;  // quality falls behind, small models first
  constexpr double kEnough = 0.99;
  std::vector<std::string> advice;
  SKARV_ASSIGN(const OuterRound now, price_round(islands, setting));
  if (islands.size() < 2) return advice;
  for (const Link& link : setting.cluster.links) {
    const TcpPath path{link.bandwidth, link.round_trip, link.loss, setting.num_streams,
                       setting.control};
    const int wanted = streams_wanted(path);
    if (wanted > setting.num_streams) {
      advice.push_back(cat(link.from, "-", link.to, ": ", setting.num_streams, " ",
                           name_of(setting.control), " streams reach ",
                           human_bytes(tcp_throughput(path)), "/s of ", human_bytes(link.bandwidth),
                           "/s; ", wanted, wanted >= 64 ? " or more" : "",
                           " would fill it, or bbr"));
    }
  }
  if (setting.exchange.mode == ExchangeMode::kGradient || now.utilisation >= kEnough) {
    return advice;
  }
  // Each change by itself, then both: the smallest that suffices.
  const auto tried = [&](auto change) -> Result<OuterRound> {
    ExchangeSettings exchange = setting.exchange;
    change(exchange);
    OuterSetting other{exchange, setting.cluster, setting.num_parameters, setting.num_streams,
                       setting.control};
    return price_round(islands, other);
  };
  const auto percent = [](double part) { return fixed(100 * part, 1) + " %"; };
  if (setting.exchange.upload != CodecKind::kInt4 ||
      setting.exchange.download != CodecKind::kInt4) {
    SKARV_ASSIGN(const OuterRound coded, tried([](ExchangeSettings& exchange) {
                   exchange.upload = exchange.download = CodecKind::kInt4;
                 }));
    advice.push_back(cat("upload and download = \"int4\" would raise utilisation from ",
                         percent(now.utilisation), " to ", percent(coded.utilisation)));
  }
  for (int64_t overlap = setting.exchange.overlap_steps + 1; overlap <= kMostOverlap; ++overlap) {
    SKARV_ASSIGN(const OuterRound hidden,
                 tried([&](ExchangeSettings& exchange) { exchange.overlap_steps = overlap; }));
    if (hidden.utilisation < kEnough && overlap < kMostOverlap) continue;
    if (hidden.utilisation <= now.utilisation) break;
    advice.push_back(cat("overlap_steps = ", overlap, " would raise utilisation from ",
                         percent(now.utilisation), " to ", percent(hidden.utilisation)));
    break;
  }
  for (int64_t steps = setting.exchange.inner_steps + 1; steps <= kMostInnerSteps; ++steps) {
    SKARV_ASSIGN(const OuterRound longer,
                 tried([&](ExchangeSettings& exchange) { exchange.inner_steps = steps; }));
    if (longer.utilisation < kEnough && steps < kMostInnerSteps) continue;
    if (longer.utilisation <= now.utilisation) break;
    advice.push_back(cat("inner_steps = ", steps, " would raise utilisation from ",
                         percent(now.utilisation), " to ", percent(longer.utilisation)));
    break;
  }
  return advice;
}

}  // namespace skarv
