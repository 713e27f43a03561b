#include "island_journal.h"

#include "base/file.h"

namespace skarv {

Status write_journal(const IslandJournal& journal, const std::filesystem::path& path) {
  const Json json = {{"parity", journal.parity}, {"local", journal.local.to_json()}};
  const Status status = write_file_atomic(path, json.dump() + "\n");
  std::error_code ignored;
  if (!status.ok()) std::filesystem::remove(path, ignored);
  return status;
}

Result<IslandJournal> read_journal(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) {
    return Status(Code::kNotFound, Scope::kRun, "no journal").at(path.string());
  }
  SKARV_ASSIGN(const Json json, read_json(path));
  const auto damaged = [&] {
    return Status(Code::kDataLoss, Scope::kRun, "the journal is damaged").at(path.string());
  };
  if (!json.is_object() || !json.contains("local") || !json["local"].is_object() ||
      !json.contains("parity") || (json["parity"] != 0 && json["parity"] != 1)) {
    return damaged();
  }
  SKARV_ASSIGN(wan::LocalJournal local, wan::LocalJournal::from_json(json["local"], path.string()));
  return IslandJournal{json["parity"].get<int>(), std::move(local)};
}

}  // namespace skarv
