// The lead's log as the machine thinks of it: entries in, what to restore out. The bytes are
// RecordLog's.
#pragma once

#include <filesystem>

#include "base/status.h"
#include "wan/record_log.h"
#include "wan/round/island_machine.h"
#include "wan/round/log_entry.h"

namespace skarv::wan {

Json to_json(const LogEntry& entry);
Result<LogEntry> entry_of_log(const Json& json, const std::string& origin);

// One thread.
class IslandLog {
 public:
  // Errors: RecordLog's.
  static Result<IslandLog> open(const std::filesystem::path& path, const Digest& run);

  // All but the versions and the step, which the keeper and the trainer know.
  const IslandMachine::Restored& restored() const { return restored_; }
  // Durable when it returns ok.
  Status append(const LogEntry& entry);

 private:
  explicit IslandLog(RecordLog log) : log_(std::move(log)) {}
  RecordLog log_;
  IslandMachine::Restored restored_;
};

}  // namespace skarv::wan
