// Goodput over a day: what part of the tokens that an undisturbed run would train is trained when
// devices, hosts and sites fail. Seeded and deterministic: a day is walked in slots of ten seconds.
//
// A device or a host that fails stops its island for detection and restart; the island then starts
// from the outer weights and has lost what it had trained since (protocol.md, rule 8): half a
// period on the mean, here what the day's clock says. A failed host's keeper fetches its slabs
// first. A site that fails stops its islands for as long as it is out. While fewer islands are left
// than a round needs nothing is committed: the others train a little ahead (rule 12), then wait.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "spec/run.h"

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
  int num_needed = 1;         // fewer islands commit nothing: islands_to_commit()
  double ahead_seconds = 0;   // that an island still trains then: rounds_ahead()
  uint64_t seed = 1;
};

// Of `num_islands`, all of which vote, those without which no round is committed: contributors as
// the run asks for them, and as many as have to store a record first (protocol.md, 2).
int islands_to_commit(const ExchangeSettings& exchange, int num_islands);
// Rounds that an island still trains, on the mean, once nothing is committed any more (rule 12):
// half a one up to the snapshot of the open round, another up to the next snapshot, which nobody
// takes, and one past that. Without overlap only up to the first; in exact mode none.
double rounds_ahead(const ExchangeSettings& exchange);

// All of a day.
struct Goodput {
  double tokens = 0;
  double undisturbed = 0;  // tokens without failures
  // Of islands, by tokens: standing still; trained twice; waiting until enough others are back.
  double seconds_down = 0, seconds_lost = 0, seconds_paused = 0;
  double num_failures = 0;       // that came
  double expected_failures = 0;  // by the mean times that were given; 0: nothing ever fails
  double fraction() const { return undisturbed > 0 ? tokens / undisturbed : 1; }
};

// Mean over `num_days` days, by their seeds. REQUIRES: an island.
Goodput goodput_of(const GoodputSetting& setting, int num_days = 20);

}  // namespace skarv
