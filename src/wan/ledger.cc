#include "wan/ledger.h"

#include <sqlite3.h>

#include <cerrno>

#include "base/file.h"
#include "base/text.h"

namespace skarv::wan {

namespace {

constexpr int kFormat = 1;

void bind(sqlite3_stmt* statement, int index, int64_t value) {
  sqlite3_bind_int64(statement, index, value);
}
void bind(sqlite3_stmt* statement, int index, const std::string& value) {
  sqlite3_bind_text(statement, index, value.data(), static_cast<int>(value.size()),
                    SQLITE_TRANSIENT);
}

std::string text_at(sqlite3_stmt* statement, int column) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
  return text == nullptr
             ? ""
             : std::string(text, static_cast<size_t>(sqlite3_column_bytes(statement, column)));
}

constexpr auto kNoRow = [](sqlite3_stmt*) { return Status(); };

}  // namespace

Status Ledger::fault(const char* what) const {
  const int code = database_ == nullptr ? SQLITE_CANTOPEN : sqlite3_errcode(database_);
  const int cause = database_ == nullptr ? 0 : sqlite3_system_errno(database_);
  const bool full = cause == ENOSPC || cause == EDQUOT || cause == EFBIG;
  const std::string why = database_ == nullptr ? "cannot open" : sqlite3_errmsg(database_);
  Status status;
  switch (full && (code & 0xff) == SQLITE_IOERR ? SQLITE_FULL : code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      status = Status(Code::kUnavailable, Scope::kRun,
                      "another coordinator holds this ledger; a run has one")
                   .with_hint("stop the other one first, or name another folder");
      break;
    case SQLITE_FULL:
      status = Status(Code::kResourceExhausted, Scope::kRun, cat(what, ": the disk is full"))
                   .with_hint("free disk space; the coordinator then goes on where it was");
      break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      status = Status(Code::kDataLoss, Scope::kRun, cat(what, ": ", why))
                   .with_hint("restore the file from a copy");
      break;
    default:
      status = Status(Code::kUnavailable, Scope::kRun, cat(what, ": ", why))
                   .with_hint("check the disk, and that the file and its folder may be written");
  }
  return status.at(path_.string());
}

Status Ledger::execute(const char* sql) {
  if (sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return fault(sql);
  return Status();
}

template <typename Row, typename... Values>
Status Ledger::query(const char* sql, Row&& row, const Values&... values) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database_, sql, -1, &statement, nullptr) != SQLITE_OK) return fault(sql);
  int index = 0;
  (bind(statement, ++index, values), ...);
  int code;
  Status status;
  while (status.ok() && (code = sqlite3_step(statement)) == SQLITE_ROW) status = row(statement);
  if (status.ok() && code != SQLITE_DONE) status = fault(sql);
  sqlite3_finalize(statement);
  return status;
}

Result<std::unique_ptr<Ledger>> Ledger::open(const std::filesystem::path& path, const Digest& run) {
  SKARV_TRY(make_directories(path.parent_path()));
  std::unique_ptr<Ledger> ledger(new Ledger(path));
  if (sqlite3_open_v2(path.c_str(), &ledger->database_,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX,
                      nullptr) != SQLITE_OK) {
    return ledger->fault("cannot open the ledger");
  }
  sqlite3_extended_result_codes(ledger->database_, 1);
  // The lock is taken by the first transaction and kept until the process ends.
  SKARV_TRY(ledger->execute("pragma locking_mode = exclusive"));
  SKARV_TRY(ledger->execute("pragma journal_mode = wal"));
  SKARV_TRY(ledger->execute("pragma synchronous = full"));
  SKARV_TRY(ledger->execute("begin exclusive"));
  SKARV_TRY(ledger->execute(
      "create table if not exists state (key text primary key, value text not null)"));
  SKARV_TRY(ledger->execute(
      "create table if not exists views (version integer primary key, view text not null)"));
  SKARV_TRY(
      ledger->execute("create table if not exists rounds (n integer primary key, record text not "
                      "null, chain text not null)"));
  std::string format, stored_run;
  SKARV_TRY(ledger->query("select key, value from state where key in ('format', 'run')",
                          [&](sqlite3_stmt* row) {
                            (text_at(row, 0) == "run" ? stored_run : format) = text_at(row, 1);
                            return Status();
                          }));
  if (format.empty()) {
    SKARV_TRY(ledger->query("insert into state values ('format', ?), ('run', ?), ('epoch', '0')",
                            kNoRow, std::to_string(kFormat), run.hex()));
  } else if (format != std::to_string(kFormat)) {
    return Status(Code::kFailedPrecondition, Scope::kConfig,
                  cat("the ledger has format ", format, ", this program writes ", kFormat))
        .at(path.string());
  } else if (stored_run != run.hex()) {
    return Status(Code::kFailedPrecondition, Scope::kConfig,
                  "the ledger belongs to a run with other settings, model or arithmetic")
        .at(path.string())
        .with_hint("use the run file it was started with, or a new folder");
  }
  SKARV_TRY(ledger->execute("commit"));
  return ledger;
}

Ledger::~Ledger() { sqlite3_close(database_); }

Result<CoordinatorMachine::Restored> Ledger::restore() {
  CoordinatorMachine::Restored restored;
  std::string leases;
  SKARV_TRY(query("select key, value from state", [&](sqlite3_stmt* row) -> Status {
    const std::string key = text_at(row, 0), value = text_at(row, 1);
    if (key == "epoch") restored.epoch = std::atoll(value.c_str());
    if (key == "settled") restored.settled = std::atoll(value.c_str());
    if (key == "leases") leases = value;
    if (key == "state_root") {
      SKARV_ASSIGN(restored.state_root, Digest::parse(value));
    }
    return Status();
  }));
  if (!leases.empty()) {
    SKARV_ASSIGN(const Json json, parse_json(leases, path_.string()));
    SKARV_ASSIGN(restored.leases, LeaseDesk::from_json(json));
  }
  SKARV_TRY(query("select view from views order by version desc limit 1",
                  [&](sqlite3_stmt* row) -> Status {
                    SKARV_ASSIGN(const Json json, parse_json(text_at(row, 0), path_.string()));
                    SKARV_ASSIGN(restored.view, view_from_json(json, path_.string()));
                    return Status();
                  }));
  SKARV_TRY(query("select n, chain from rounds order by n desc limit 1",
                  [&](sqlite3_stmt* row) -> Status {
                    restored.committed = sqlite3_column_int64(row, 0);
                    SKARV_ASSIGN(restored.chain, Digest::parse(text_at(row, 1)));
                    return Status();
                  }));
  return restored;
}

Status Ledger::persist(const PersistCoordinator& what) {
  SKARV_TRY(execute("begin immediate"));
  const Status status = [&]() -> Status {
    auto put = [&](const std::string& key, const std::string& value) {
      return query(
          "insert into state values (?, ?) on conflict (key) do update set value = excluded.value",
          kNoRow, key, value);
    };
    int64_t epoch = -1;
    SKARV_TRY(query("select value from state where key = 'epoch'", [&](sqlite3_stmt* row) {
      epoch = std::atoll(text_at(row, 0).c_str());
      return Status();
    }));
    if (epoch != (what.raise_epoch ? what.epoch - 1 : what.epoch)) {
      return Status(Code::kFailedPrecondition, Scope::kRun,
                    cat("the ledger is at epoch ", epoch, ", this coordinator at ", what.epoch,
                        ": another one took over"))
          .at(path_.string());
    }
    if (what.raise_epoch) SKARV_TRY(put("epoch", std::to_string(what.epoch)));
    if (what.view) {
      SKARV_TRY(query("insert or replace into views values (?, ?)", kNoRow, what.view->version,
                      to_json(*what.view).dump()));
    }
    if (what.committed) {
      SKARV_TRY(query("insert into rounds values (?, ?, ?)", kNoRow, what.committed->record.round,
                      to_json(what.committed->record).dump(), what.committed->chain.hex()));
    }
    if (what.settled) {
      SKARV_TRY(put("settled", std::to_string(what.settled->first)));
      SKARV_TRY(put("state_root", what.settled->second.hex()));
    }
    if (what.leases) SKARV_TRY(put("leases", what.leases->dump()));
    return Status();
  }();
  if (!status.ok()) {
    (void)execute("rollback");
    return status;
  }
  const Status committed = execute("commit");
  if (!committed.ok()) (void)execute("rollback");
  return committed;
}

Result<Record> Ledger::record(int64_t round) {
  std::optional<Record> found;
  SKARV_TRY(query(
      "select record from rounds where n = ?",
      [&](sqlite3_stmt* row) -> Status {
        SKARV_ASSIGN(const Json json, parse_json(text_at(row, 0), path_.string()));
        SKARV_ASSIGN(found, record_from_json(json, path_.string()));
        return Status();
      },
      round));
  if (found) return *found;
  return Status(Code::kNotFound, Scope::kRun, cat("round ", round, " is not in the ledger"))
      .at(path_.string());
}

Result<std::vector<Record>> Ledger::latest_records(int64_t count) {
  std::vector<Record> records;
  SKARV_TRY(query(
      "select record from (select n, record from rounds order by n desc limit ?) order by n",
      [&](sqlite3_stmt* row) -> Status {
        SKARV_ASSIGN(const Json json, parse_json(text_at(row, 0), path_.string()));
        SKARV_ASSIGN(Record record, record_from_json(json, path_.string()));
        records.push_back(std::move(record));
        return Status();
      },
      count));
  return records;
}

}  // namespace skarv::wan
