// skarv-worker: one device of a run, in a process of its own.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "verb.h"

int main(int argc, char** argv) {
  using namespace skarv;
  using namespace skarv::worker;
  CLI::App app(
      "skarv-worker computes on one device. `skarv` starts it; by hand it is of use to measure,\n"
      "evaluate and sample.\n"
      "Example: skarv-worker generate --checkpoint runs/first/export --prompt \"Once\" --tokens "
      "50");
  app.name("skarv-worker");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("skarv-worker ") + SKARV_VERSION);
  app.footer(
      "Exit codes: 0 done; 1 ran and failed; 2 bad input: a flag, a file, or what does not belong\n"
      "together; 3 the agent, a peer or a device is not there or refuses; 4 damaged bytes; 70 a bug\n"
      "of Skarv; 130 interrupted.");
  VerbAction action;
  for (auto* add : {add_run, add_probe, add_evaluate, add_generate}) add(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitBadInput;
  }
  Status status;
  try {
    status = action();
  } catch (const std::exception& error) {
    status = status_of(error);
  }
  if (!status.ok()) std::fprintf(stderr, "skarv-worker: %s\n", status.to_string().c_str());
  return exit_code_of(status);
}
