// A verb of skarv-worker: one file each, listed in main.cc.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "device/device.h"

namespace CLI {
class App;
}

namespace skarv::worker {

// What a verb answers to the shell: the same numbers as those of `skarv`.
enum ExitCode {
  kExitOk = 0,
  kExitFailed = 1,       // ran and failed
  kExitBadInput = 2,     // a flag, a file, a combination: nothing was started
  kExitUnavailable = 3,  // the agent, a peer or a device is not there, or a deadline passed
  kExitDataLoss = 4,     // bytes are not what they should be
  kExitBug = 70,
};
ExitCode exit_code_of(const Status& status);

using VerbAction = std::function<Status()>;

// Version of the libtorch in this process. Error: it is not the one that this was compiled for.
Result<std::string> check_torch_version();

// Where a verb computes: `plugin` (a path, may be empty) is loaded first; then `chip` "cpu" is the
// processor, anything else without a plug-in a CUDA or ROCm device.
Result<Device> open_device(const std::string& plugin, const std::string& chip);

void add_run(CLI::App& app, VerbAction& action);
void add_probe(CLI::App& app, VerbAction& action);
void add_evaluate(CLI::App& app, VerbAction& action);
void add_generate(CLI::App& app, VerbAction& action);

}  // namespace skarv::worker
