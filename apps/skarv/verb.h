// A verb of the program: one file each, listed in main.cc. A verb declares its flags when it is
// added; `run` is called after they were parsed.
#pragma once

#include <functional>
#include <string>

#include "base/exit_code.h"

namespace CLI {
class App;
}

namespace skarv {

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
