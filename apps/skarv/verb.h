// A verb of the program: one file each, listed in main.cc. A verb declares its flags when it is
// added; `run` is called after they were parsed.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"

namespace CLI {
class App;
}

namespace skarv {

// What a verb answers to the shell; `skarv --help` lists them.
enum ExitCode {
  kExitOk = 0,
  kExitFailed = 1,       // ran and failed
  kExitBadInput = 2,     // a flag, a file, a combination: nothing was started
  kExitUnavailable = 3,  // a peer, a port or a device is not there, or a deadline passed
  kExitDataLoss = 4,     // bytes are not what they should be
  kExitBug = 70,
  kExitInterrupted = 130,
};
ExitCode exit_code_of(const Status& status);

using VerbAction = std::function<Status()>;

// Each adds its subcommand to `app` and sets `action` if the command line chose it.
void add_cert(CLI::App& app, VerbAction& action);
void add_data(CLI::App& app, VerbAction& action);
void add_probe(CLI::App& app, VerbAction& action);
void add_plan(CLI::App& app, VerbAction& action);
void add_simulate(CLI::App& app, VerbAction& action);
void add_train(CLI::App& app, VerbAction& action);
void add_coordinator(CLI::App& app, VerbAction& action);
void add_join(CLI::App& app, VerbAction& action);
void add_status(CLI::App& app, VerbAction& action);
void add_export(CLI::App& app, VerbAction& action);
void add_generate(CLI::App& app, VerbAction& action);

}  // namespace skarv
