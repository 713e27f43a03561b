// skarv: plans, trains and looks after one model on unequal chips in several sites.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <exception>

#include "base/text.h"
#include "verb.h"

namespace skarv {

namespace {

// What is wrong with the command line, in the form of every other message.
Status explain(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  const std::vector<const CLI::App*> chosen = app.get_subcommands({});
  const CLI::App* verb = nullptr;
  std::vector<std::string> verbs;
  for (const CLI::App* one : chosen) {
    if (one->parsed()) verb = one;
    verbs.push_back(one->get_name());
  }
  if (verb == nullptr) {
    const std::string given = argc > 1 ? argv[1] : "";
    const std::string nearest = nearest_name(given, verbs);
    return config_error(given.empty() ? "no verb is given"
                                      : "there is no verb or flag \"" + given + "\"")
        .at("the command line")
        .with_hint(nearest.empty() ? "the verbs are " + join(verbs, ", ")
                                   : "did you mean " + nearest + "?");
  }
  std::vector<std::string> flags;
  for (const CLI::Option* option : verb->get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  std::string cause = error.what(), nearest;
  for (const std::string& given : verb->remaining()) {
    if (!given.starts_with("-")) continue;
    cause = "there is no flag " + given;
    nearest = nearest_name(given, flags);
    break;
  }
  return config_error(cause)
      .at("skarv " + verb->get_name())
      .with_hint((nearest.empty() ? "" : "did you mean " + nearest + "? ") + "skarv " +
                 verb->get_name() + " --help shows every flag and an example");
}

// A verb whose answer did not arrive has not done what it was asked for. One who stops reading, as
// `head` does, has what they wanted.
Status printed() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return Status();
  const int why = errno != 0 ? errno : EIO;
  return why == EPIPE ? Status() : io_error("cannot write", "standard output", why);
}

}  // namespace

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
      "Exit codes: 0 done; 1 ran and failed; 2 bad input: a flag, a file, or what does not belong\n"
      "together; 3 a peer, port or device is not there or refuses; 4 damaged bytes; 70 a bug of\n"
      "Skarv; 130 interrupted.");

  // A limit on the size of files is a full disk like any other: an error, not a signal.
  ::signal(SIGXFSZ, SIG_IGN);
  VerbAction action;
  for (auto* add : {add_data, add_probe, add_plan, add_simulate, add_train, add_coordinator,
                    add_join, add_status, add_export, add_generate, add_cert}) {
    add(app, action);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    std::fprintf(stderr, "skarv: %s\n", explain(app, error, argc, argv).to_string().c_str());
    return kExitBadInput;
  }
  Status status;
  try {
    status = action();
  } catch (const std::exception& error) {
    status = status_of(error);
  }
  if (status.ok()) status = printed();
  if (!status.ok()) std::fprintf(stderr, "skarv: %s\n", status.to_string().c_str());
  return exit_code_of(status);
}
