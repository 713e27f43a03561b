#include "plan/outer/goodput.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/random.h"
#include "base/text.h"

namespace skarv {
namespace {

constexpr int64_t kSlot = 10;  // seconds
constexpr int64_t kSlots = 86'400 / kSlot;

// Whether something with `count` parts of this mean time fails in slot `index`.
class Dice {
 public:
  Dice(uint64_t seed, const std::string& name, int count, double mtbf)
      : random_(seed, name), limit_(0) {
    if (mtbf <= 0 || count <= 0) return;
    const double chance = std::min(1.0, static_cast<double>(kSlot) * count / mtbf);
    limit_ = static_cast<uint64_t>(chance * 0x1p32);
  }
  bool fails(int64_t index) const {
    return limit_ > 0 && (random_.at(static_cast<uint64_t>(index)) >> 32) < limit_;
  }

 private:
  CounterRandom random_;
  uint64_t limit_;
};

// A day of all islands, slot by slot.
class Day {
 public:
  Day(const GoodputSetting& setting, uint64_t seed, Goodput& sum)
      : setting_(setting),
        num_needed_(static_cast<size_t>(
            std::clamp(setting.num_needed, 1, static_cast<int>(setting.islands.size())))),
        sum_(sum) {
    const FailureRates& rates = setting.rates;
    double all_tokens = 0;
    for (const GoodputIsland& island : setting.islands) {
      units_.push_back({island,
                        Dice(seed, "device " + island.name, island.num_devices, rates.device_mtbf),
                        Dice(seed, "host " + island.name, island.num_hosts, rates.host_mtbf)});
      sites_.emplace(island.site, Site{Dice(seed, "site " + island.site, 1, rates.site_mtbf)});
      all_tokens += island.tokens_per_second;
    }
    for (Unit& unit : units_) unit.share = unit.island.tokens_per_second / all_tokens;
    sum_.undisturbed += all_tokens * 86'400;
  }

  void walk() {
    for (int64_t slot = 0; slot < kSlots; ++slot) {
      fail(slot);
      train(static_cast<double>(slot * kSlot));
    }
  }

 private:
  struct Unit {
    const GoodputIsland& island;
    Dice devices, hosts;
    double share = 0;  // of all tokens
    double down_until = 0;
    double pending = 0;  // seconds trained that are in no snapshot yet
    double ahead = 0;    // of these, since nothing is committed any more
  };
  struct Site {
    Dice dice;
    bool is_failing = false;
  };

  void fail(int64_t slot) {
    for (auto& [name, site] : sites_) {
      site.is_failing = site.dice.fails(slot);
      sum_.num_failures += site.is_failing;
    }
    const FailureRates& rates = setting_.rates;
    for (Unit& unit : units_) {
      const double fetch = unit.island.host_state_seconds;
      double outage = 0;
      if (unit.devices.fails(slot)) {
        ++sum_.num_failures;
        outage = setting_.detection_seconds + rates.restart_seconds;
      }
      if (unit.hosts.fails(slot)) {
        ++sum_.num_failures;
        outage = std::max(outage, setting_.detection_seconds + rates.host_replace_seconds +
                                      rates.restart_seconds + fetch);
      }
      if (sites_.at(unit.island.site).is_failing) {
        outage = std::max(outage, rates.site_outage_seconds + rates.restart_seconds + fetch);
      }
      if (outage > 0) stop(unit, static_cast<double>(slot * kSlot) + outage);
    }
  }

  // It has trained nothing since its last snapshot while it was down already.
  void stop(Unit& unit, double until) {
    sum_.tokens -= unit.pending * unit.island.tokens_per_second;
    sum_.seconds_lost += unit.pending * unit.share;
    unit.pending = unit.ahead = 0;
    unit.down_until = std::max(unit.down_until, until);
  }

  void train(double now) {
    constexpr auto kSeconds = static_cast<double>(kSlot);
    down_.clear();
    for (const Unit& unit : units_) {
      down_.push_back(std::clamp(unit.down_until - now, 0.0, kSeconds));
    }
    // Rounds stand still until the last of those needed is back.
    sorted_ = down_;
    std::ranges::sort(sorted_);
    const double stopped = sorted_[num_needed_ - 1];
    for (size_t i = 0; i < units_.size(); ++i) {
      Unit& unit = units_[i];
      const double held = std::max(0.0, stopped - down_[i]);
      const double ahead = std::min(held, setting_.ahead_seconds - unit.ahead);
      const double trained = kSeconds - down_[i] - (held - ahead);
      sum_.tokens += trained * unit.island.tokens_per_second;
      sum_.seconds_down += down_[i] * unit.share;
      sum_.seconds_paused += (held - ahead) * unit.share;
      keep(unit, trained, ahead, stopped >= kSeconds);
    }
  }

  void keep(Unit& unit, double trained, double ahead, bool is_stopped) const {
    unit.ahead = is_stopped ? unit.ahead + ahead : 0;
    if (setting_.period_seconds <= 0) return;
    unit.pending += trained;
    if (!is_stopped) unit.pending = std::fmod(unit.pending, setting_.period_seconds);
  }

  const GoodputSetting& setting_;
  const size_t num_needed_;
  Goodput& sum_;
  std::vector<Unit> units_;
  std::map<std::string, Site> sites_;
  std::vector<double> down_, sorted_;  // seconds of the slot
};

double expected_failures(const GoodputSetting& setting) {
  const auto a_day = [](int count, double mtbf) { return mtbf > 0 ? 86'400.0 * count / mtbf : 0; };
  double sum = 0;
  std::set<std::string> sites;
  for (const GoodputIsland& island : setting.islands) {
    sum += a_day(island.num_devices, setting.rates.device_mtbf) +
           a_day(island.num_hosts, setting.rates.host_mtbf);
    sites.insert(island.site);
  }
  return sum + a_day(static_cast<int>(sites.size()), setting.rates.site_mtbf);
}

}  // namespace

Status check_rates(const FailureRates& rates) {
  const std::pair<const char*, double> figures[] = {{"device_mtbf", rates.device_mtbf},
                                                    {"host_mtbf", rates.host_mtbf},
                                                    {"site_mtbf", rates.site_mtbf},
                                                    {"restart", rates.restart_seconds},
                                                    {"host_replace", rates.host_replace_seconds},
                                                    {"site_outage", rates.site_outage_seconds},
                                                    {"snapshot", rates.snapshot_seconds}};
  for (const auto& [name, seconds] : figures) {
    if (seconds >= 0 && std::isfinite(seconds)) continue;
    return config_error(cat(name, " is ", seconds, " s"))
        .at(name)
        .with_hint("give a time such as \"30 d\", or 0 for never");
  }
  return {};
}

int islands_to_commit(const ExchangeSettings& exchange, int num_islands) {
  if (exchange.mode == ExchangeMode::kGradient) return num_islands;
  return std::max(quorum_of(num_islands, exchange.durable_copies), exchange.min_contributors);
}

double rounds_ahead(const ExchangeSettings& exchange) {
  if (exchange.mode == ExchangeMode::kGradient) return 0;
  return exchange.overlap_steps > 0 ? 2.5 : 0.5;
}

Goodput goodput_of(const GoodputSetting& setting, int num_days) {
  Goodput sum;
  for (int day = 0; day < num_days; ++day) {
    Day(setting, setting.seed + static_cast<uint64_t>(day), sum).walk();
  }
  for (double* figure : {&sum.tokens, &sum.undisturbed, &sum.seconds_down, &sum.seconds_lost,
                         &sum.seconds_paused, &sum.num_failures}) {
    *figure /= num_days;
  }
  sum.tokens = std::max(0.0, sum.tokens);
  sum.expected_failures = expected_failures(setting);
  return sum;
}

}  // namespace skarv
