// What an island tells about its training: written by its agent now and then, read by whoever
// shows progress or draws the closing table. Sums run since the run's start, over restarts too.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace skarv {

struct DeviceProgress {
  std::string device, chip;
  double pace = 0;
  int64_t tokens = 0;        // that passed through it, each counted once a step
  double busy_seconds = 0;   // computing
  double wait_seconds = 0;   // for its island's other devices
  int64_t missed_slots = 0;  // pacing was late: the machine was too busy
  int64_t bytes_sent = 0;    // to its island's other devices
  int64_t peak_bytes = 0;
};

struct IslandProgress {
  std::string island;
  int64_t steps = 0, rounds = 0;
  int64_t tokens = 0;
  double seconds = 0;  // of training: from the first order to the last step
  double outer_wait_seconds =
      0;                    // of these, when nothing could be ordered for want of the protocol
  double step_seconds = 0;  // median of the latest steps
  double loss = 0;          // mean of the latest steps, nats
  int64_t wan_sent = 0, wan_received = 0;  // bytes on the sockets
  int64_t worker_restarts = 0, agent_starts = 0, num_skipped = 0;
  std::string state_digest;  // root over the keeper's own memory, computed at `rounds`
  std::string awaits;        // what it waits for at the moment; empty: nothing
  std::vector<DeviceProgress> devices;
};

Json to_json(const IslandProgress& report);
// All islands on one line, in parts for bar_line. The steps are those of the slowest island, the
// tokens/s of each device run since the start. `seconds_left`: not finite where nobody knows.
std::string progress_text(const std::vector<IslandProgress>& islands, int64_t total_steps,
                          double seconds_left);
Result<IslandProgress> island_progress_from_json(const Json& json, const std::string& origin);
Status write_progress(const IslandProgress& report, const std::filesystem::path& path);
Result<IslandProgress> read_progress(const std::filesystem::path& path);

}  // namespace skarv
