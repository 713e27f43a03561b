// Goodput over a day: what part of the tokens that an undisturbed run would train is trained when
// devices, hosts and sites fail. Seeded and deterministic: a day is walked in slots of ten seconds.
//
// A device or a host that fails stops its island for detection and restart; the island then starts
// from the outer weights and has lost what it had trained since (protocol.md, rule 8): half a
// period on the mean, here what the day's clock says. A failed host's keeper fetches its slabs
// first. A site that fails stops its islands for as long as it is out. The other islands go on, as
// long as `min_contributors` are left; otherwise the whole run pauses.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"

namespace skarv {

struct FailureRates {      // seconds; 0: never
  double device_mtbf = 0;  // mean time between failures of one device
  double host_mtbf = 0;
  double site_mtbf = 0;
  double restart_seconds = 60;        // a worker, until it computes again
  double host_replace_seconds = 600;  // another host takes over
  double site_outage_seconds = 3600;
  double snapshot_seconds = 0;  // what a restart can lose; 0: a fragment's period, by the rounds
};
// Error: a negative or infinite figure, named.
Status check_rates(const FailureRates& rates);

struct GoodputIsland {
  std::string name, site;
  int num_devices = 0, num_hosts = 0;
  double tokens_per_second = 0;   // undisturbed
  double host_state_seconds = 0;  // to fetch a lost host's slabs from another island
};

struct GoodputSetting {
  std::vector<GoodputIsland> islands;
  FailureRates rates;
  double detection_seconds = 5;
  double period_seconds = 0;  // from one snapshot of a fragment to its next: what a restart loses
  int min_contributors = 1;
  uint64_t seed = 1;
};

struct Goodput {
  double tokens = 0;       // of a day
  double undisturbed = 0;  // without failures
  double seconds_down = 0,
         seconds_lost = 0;    // of islands, by tokens: standing still; trained twice
  double seconds_paused = 0;  // of the whole run
  int num_failures = 0;
  double fraction() const { return undisturbed > 0 ? tokens / undisturbed : 1; }
};

// Mean over `num_days` days, by their seeds.
Goodput goodput_of(const GoodputSetting& setting, int num_days = 20);

}  // namespace skarv
