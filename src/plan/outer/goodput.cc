#include "plan/outer/goodput.h"

#include <algorithm>
#include <cmath>

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

struct State {
  double down_until = 0;
  double useful_since = 0;  // of the period in progress
};

void one_day(const GoodputSetting& setting, uint64_t seed, Goodput& sum) {
  const size_t num_islands = setting.islands.size();
  std::vector<State> states(num_islands);
  std::vector<Dice> devices, hosts;
  std::map<std::string, Dice> sites;
  double all_tokens = 0;
  for (const GoodputIsland& island : setting.islands) {
    devices.emplace_back(seed, "device " + island.name, island.num_devices,
                         setting.rates.device_mtbf);
    hosts.emplace_back(seed, "host " + island.name, island.num_hosts, setting.rates.host_mtbf);
    sites.emplace(island.site, Dice(seed, "site " + island.site, 1, setting.rates.site_mtbf));
    all_tokens += island.tokens_per_second;
  }
  for (int64_t slot = 0; slot < kSlots; ++slot) {
    const auto now = static_cast<double>(slot * kSlot);
    size_t num_up = 0;
    for (size_t i = 0; i < num_islands; ++i) {
      const GoodputIsland& island = setting.islands[i];
      State& state = states[i];
      double outage = 0;
      const auto fail = [&](const Dice& dice, double seconds) {
        if (!dice.fails(slot)) return;
        ++sum.num_failures;
        outage = std::max(outage, setting.detection_seconds + seconds);
      };
      fail(devices[i], setting.rates.restart_seconds);
      fail(hosts[i], setting.rates.host_replace_seconds + setting.rates.restart_seconds +
                         island.host_state_seconds);
      if (sites.at(island.site).fails(slot)) {
        outage = std::max(outage, setting.rates.site_outage_seconds +
                                      setting.rates.restart_seconds + island.host_state_seconds);
        ++sum.num_failures;
      }
      if (outage > 0) {
        // Trained since the last snapshot, and not yet in the outer weights.
        if (state.down_until <= now && setting.period_seconds > 0) {
          const double lost = std::fmod(now - state.useful_since, setting.period_seconds);
          sum.tokens -= lost * island.tokens_per_second;
          sum.seconds_lost += lost * island.tokens_per_second / all_tokens;
        }
        state.down_until = std::max(state.down_until, now + outage);
        state.useful_since = state.down_until;
      }
      num_up += state.down_until <= now;
    }
    const bool paused = num_up < static_cast<size_t>(std::max(1, setting.min_contributors));
    for (size_t i = 0; i < num_islands; ++i) {
      const double tokens = setting.islands[i].tokens_per_second;
      const double down = std::clamp(states[i].down_until - now, 0.0, static_cast<double>(kSlot));
      if (paused) {
        sum.seconds_paused += static_cast<double>(kSlot) * tokens / all_tokens;
      } else {
        sum.tokens += (static_cast<double>(kSlot) - down) * tokens;
        sum.seconds_down += down * tokens / all_tokens;
      }
    }
  }
  sum.undisturbed += all_tokens * 86'400;
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

Goodput goodput_of(const GoodputSetting& setting, int num_days) {
  Goodput sum;
  for (int day = 0; day < num_days; ++day) {
    one_day(setting, setting.seed + static_cast<uint64_t>(day), sum);
  }
  for (double* figure :
       {&sum.tokens, &sum.undisturbed, &sum.seconds_down, &sum.seconds_lost, &sum.seconds_paused}) {
    *figure /= num_days;
  }
  sum.tokens = std::max(0.0, sum.tokens);
  sum.num_failures = (sum.num_failures + num_days / 2) / num_days;
  return sum;
}

}  // namespace skarv
