// The journal of an island's local weights as a file beside its shared memory: what the next agent
// needs to go on from the newest inner snapshot there when this one is killed.
#pragma once

#include <filesystem>

#include "wan/round/local_journal.h"

namespace skarv {

struct IslandJournal {
  int parity = 0;  // of the inner snapshot
  wan::LocalJournal local;
};

// Replaces the file. Error: names it; the old one is gone then, since it must not be believed.
Status write_journal(const IslandJournal& journal, const std::filesystem::path& path);
// Errors: kNotFound without a file; kDataLoss.
Result<IslandJournal> read_journal(const std::filesystem::path& path);

}  // namespace skarv
