// What a program of Skarv answers to the shell: the same numbers for skarv and skarv-worker, so
// that whoever started one knows what its end means. `--help` of both lists them.
#pragma once

#include <exception>
#include <string>

#include "base/status.h"

namespace skarv {

enum ExitCode {
  kExitOk = 0,
  kExitFailed = 1,       // ran and failed: the disk is full, memory is short
  kExitBadInput = 2,     // a flag, a file, or what does not belong together: another run's state
  kExitUnavailable = 3,  // a peer, a port or a device is not there or refuses; a deadline passed
  kExitDataLoss = 4,     // bytes are not what they should be
  kExitBug = 70,
  kExitInterrupted = 130,
};

ExitCode exit_code_of(const Status& status);
// Neither bad input nor damaged bytes nor a bug gets better by starting the program again.
inline bool may_heal(int exit_code) {
  return exit_code != kExitBadInput && exit_code != kExitDataLoss && exit_code != kExitBug;
}
// Of an exception that no one expected. A path that the system refuses to look at is no bug.
Status status_of(const std::exception& unexpected);
// The code and scope of a Status that gives this exit code again.
Status status_of_exit(int exit_code, std::string message);

}  // namespace skarv
