#include "wan/island_log.h"

#include "wan/round/fields.h"

namespace skarv::wan {

Json to_json(const LogEntry& entry) {
  if (const auto* promise = std::get_if<LogPromise>(&entry)) {
    return {{"promise",
             {{"epoch", promise->term.epoch},
              {"view", promise->term.view},
              {"members", to_json(promise->view)},
              {"generation", promise->generation},
              {"life", promise->life}}}};
  }
  if (const auto* accept = std::get_if<LogAccept>(&entry)) {
    return {{"accept", to_json(accept->record)}};
  }
  const auto& commit = std::get<LogCommit>(entry);
  return {
      {"commit",
       {{"round", commit.round}, {"record", commit.record.hex()}, {"chain", commit.chain.hex()}}}};
}

Result<LogEntry> entry_of_log(const Json& json, const std::string& origin) {
  if (json.is_object() && json.contains("accept")) {
    SKARV_ASSIGN(Record record, record_from_json(json["accept"], origin));
    return LogEntry(LogAccept{std::move(record)});
  }
  if (json.is_object() && json.contains("commit")) {
    Fields fields(json["commit"], origin);
    LogCommit commit{fields.integer("round", 0), fields.digest("record"), fields.digest("chain")};
    SKARV_TRY(fields.status());
    return LogEntry(commit);
  }
  if (json.is_object() && json.contains("promise")) {
    Fields fields(json["promise"], origin);
    LogPromise promise;
    promise.term = {fields.integer("epoch", 0), fields.integer("view", 0)};
    promise.generation = fields.integer("generation", 0);
    promise.life = fields.integer("life", 0);
    const Json& members = fields.object("members");
    SKARV_TRY(fields.status());
    // Before the first PROMISE no view is known.
    if (members.contains("islands") && !members["islands"].empty()) {
      SKARV_ASSIGN(promise.view, view_from_json(members, origin));
    }
    return LogEntry(std::move(promise));
  }
  return Status(Code::kDataLoss, Scope::kRun, "a log entry of no known kind").at(origin);
}

Result<IslandLog> IslandLog::open(const std::filesystem::path& path, const Digest& run) {
  SKARV_ASSIGN(RecordLog records, RecordLog::open(path, run.hex()));
  IslandLog log(std::move(records));
  IslandMachine::Restored& restored = log.restored_;
  for (const Json& json : log.log_.records()) {
    SKARV_ASSIGN(const LogEntry entry, entry_of_log(json, path.string()));
    if (const auto* promise = std::get_if<LogPromise>(&entry)) {
      restored.promised = promise->term;
      if (promise->view.size() > 0) restored.view = promise->view;
      restored.generation = promise->generation;
      restored.num_lives = promise->life;
    } else if (const auto* accept = std::get_if<LogAccept>(&entry)) {
      restored.accepted = accept->record;
    } else {
      const auto& commit = std::get<LogCommit>(entry);
      restored.committed = commit.round;
      restored.chains[commit.round] = commit.chain;
    }
  }
  return log;
}

Status IslandLog::append(const LogEntry& entry) {
  SKARV_TRY(log_.append(to_json(entry)));
  return log_.sync();
}

}  // namespace skarv::wan
