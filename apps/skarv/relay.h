// The emulated WAN as the supervisor uses it: how to start skarv-wan for a link, and what it
// carried.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "spec/cluster.h"

namespace skarv {

// Relays listens[i] to targets[i].second (an address) over one link of these properties; its
// control socket and log lie in `folder`.
Result<std::vector<std::string>> relay_command(
    const Link& link, const std::vector<std::string>& listens,
    const std::vector<std::pair<std::string, std::string>>& targets,
    const std::filesystem::path& folder);

// Asks the relay of this folder: bytes carried in both directions; 0 while it does not answer.
int64_t relay_bytes(const std::filesystem::path& folder);

}  // namespace skarv
