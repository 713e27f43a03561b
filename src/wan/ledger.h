// The coordinator's durable memory: one SQLite file (WAL, synchronous=FULL) that one process at a
// time may hold. Everything that PersistCoordinator lists goes in by one transaction under the
// condition that the epoch is still the writer's.
#pragma once

#include <filesystem>
#include <memory>

#include "base/status.h"
#include "wan/round/actions.h"
#include "wan/round/coordinator_machine.h"

struct sqlite3;

namespace skarv::wan {

// One thread.
class Ledger {
 public:
  // `run` is the handshake's run digest: a ledger of another run is kFailedPrecondition, one that
  // another process holds kUnavailable, a damaged one kDataLoss.
  static Result<std::unique_ptr<Ledger>> open(const std::filesystem::path& path, const Digest& run);
  ~Ledger();

  Result<CoordinatorMachine::Restored> restore();
  // Durable when it returns ok. Error: kFailedPrecondition when another coordinator raised the
  // epoch meanwhile; kResourceExhausted when the disk is full; nothing was written then.
  Status persist(const PersistCoordinator& what);
  // Error: kNotFound.
  Result<Record> record(int64_t round);
  // Of the last `count` committed rounds, oldest first.
  Result<std::vector<Record>> latest_records(int64_t count);

 private:
  explicit Ledger(std::filesystem::path path) : path_(std::move(path)) {}
  Status execute(const char* sql);
  Status fault(const char* what) const;
  template <typename Row, typename... Values>
  Status query(const char* sql, Row&& row, const Values&... values);

  std::filesystem::path path_;
  sqlite3* database_ = nullptr;
};

}  // namespace skarv::wan
