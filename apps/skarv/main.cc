// skarv: plans, trains and looks after one model on unequal chips in several sites.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "verb.h"

namespace skarv {

ExitCode exit_code_of(const Status& status) {
  switch (status.code()) {
    case Code::kOk:
      return kExitOk;
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kAlreadyExists:
    case Code::kFailedPrecondition:
      return kExitBadInput;
    case Code::kDeadlineExceeded:
    case Code::kUnavailable:
    case Code::kPermissionDenied:
      return kExitUnavailable;
    case Code::kDataLoss:
      return kExitDataLoss;
    case Code::kInternal:
      return kExitBug;
    case Code::kCancelled:
      return kExitInterrupted;
    case Code::kResourceExhausted:
      return kExitFailed;
  }
  return kExitFailed;
}

}  // namespace skarv

int main(int argc, char** argv) {
  using namespace skarv;
  CLI::App app(
      "Skarv trains one language model on unequal chips in several sites.\n"
      "Example: skarv train run.toml --cluster cluster.toml --out runs/first");
  app.name("skarv");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("skarv ") + SKARV_VERSION);
  app.footer(
      "Exit codes: 0 done; 1 ran and failed; 2 bad input, nothing was started; 3 a peer, port or\n"
      "device is not there; 4 damaged bytes; 70 a bug of Skarv; 130 interrupted.");

  VerbAction action;
  for (auto* add : {add_data, add_probe, add_plan, add_train, add_coordinator, add_join, add_status,
                    add_export, add_generate, add_cert}) {
    add(app, action);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? kExitOk : kExitBadInput;
  }
  const Status status = action();
  if (!status.ok()) std::fprintf(stderr, "skarv: %s\n", status.to_string().c_str());
  return exit_code_of(status);
}
