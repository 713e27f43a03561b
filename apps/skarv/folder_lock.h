// One process for a folder of a run: two that write it would spoil both.
#pragma once

#include <filesystem>
#include <string>

#include "base/clock.h"
#include "base/file.h"

namespace skarv {

// An exclusive lock on an existing folder, held until the handle closes or the process ends. Waits
// a moment for a process that is just ending. Error: kFailedPrecondition, another one has it;
// `what` says what that does there ("trains").
Result<FileHandle> lock_folder(const std::filesystem::path& folder, const std::string& what,
                               Duration patience);

}  // namespace skarv
