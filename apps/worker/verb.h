// A verb of skarv-worker: one file each, listed in main.cc.
#pragma once

#include <functional>
#include <string>

#include "base/exit_code.h"
#include "device/device.h"

namespace CLI {
class App;
}

namespace skarv::worker {

using VerbAction = std::function<Status()>;

// Version of the libtorch in this process. Error: it is not the one that this was compiled for.
Result<std::string> check_torch_version();

// Where a verb computes: `plugin` (a path, may be empty) is loaded first; then `chip` "cpu" is the
// processor, anything else without a plug-in a CUDA or ROCm device. `ordinal`: device/ordinal.h.
Result<Device> open_device(const std::string& plugin, const std::string& chip, int ordinal = 0,
                           bool emulated = false);

void add_run(CLI::App& app, VerbAction& action);
void add_probe(CLI::App& app, VerbAction& action);
void add_evaluate(CLI::App& app, VerbAction& action);
void add_generate(CLI::App& app, VerbAction& action);

}  // namespace skarv::worker
