// skarv join: the agent of one island, on the host of its devices.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "agent.h"
#include "base/json.h"
#include "base/text.h"
#include "interrupt.h"
#include "network.h"
#include "verb.h"

namespace skarv {

namespace {

struct JoinFlags {
  std::string job, island, folder, data, listen, advertise, coordinator;
  std::vector<std::string> routes;
  NetworkFlags network;
  bool trace = false, json = false;
};

void tell_address(const JoinFlags& flags, const std::string& run, const std::string& address) {
  if (flags.json) {
    const Json json = {{"run", run},
                       {"island", flags.island},
                       {"address", address},
                       {"coordinator", flags.coordinator}};
    std::printf("%s\n", json.dump().c_str());
  } else {
    std::printf("island '%s' of run '%s' listens at %s\n", flags.island.c_str(), run.c_str(),
                address.c_str());
  }
  std::fflush(stdout);
}

// A coordinator that is away may come later; one that refuses this host never changes its mind, and
// a person is told now and not by a log.
Status ask_coordinator(const AgentOptions& options) {
  net::Options dialing = options.net;
  dialing.expected_peer = "coordinator";
  auto connection = options.transport->connect(options.coordinator, dialing,
                                               net::deadline_in(dialing.detection_time));
  if (connection.ok()) {
    (void)(*connection)->close(net::deadline_in(std::chrono::seconds(1)));
    return Status();
  }
  switch (connection.status().code()) {
    case Code::kPermissionDenied:
    case Code::kFailedPrecondition:
    case Code::kInvalidArgument:
      return connection.status().wrap("--coordinator " + options.coordinator);
    default:
      std::fprintf(stderr, "the coordinator does not answer yet, this goes on asking: %s\n",
                   connection.status().to_string().c_str());
      return Status();
  }
}

Status join_run(const JoinFlags& flags) {
  AgentOptions options;
  SKARV_ASSIGN(options.job, read_job(flags.job));
  if (options.job.plan.find_island(flags.island) == nullptr) {
    std::vector<std::string> names;
    for (const Island& island : options.job.plan.islands) names.push_back(island.name);
    return Status(Code::kNotFound, Scope::kConfig, cat("the plan has no island ", flags.island))
        .at(flags.job)
        .with_hint("--island is one of " + join(names, ", "));
  }
  SKARV_ASSIGN(const Network network, open_network(flags.network, options.job.run, flags.island));
  options.island = flags.island;
  options.folder = flags.folder;
  options.data = flags.data.empty() ? options.job.run.data.folder : flags.data;
  SKARV_TRY(load_data(options.data).status().wrap("--data " + options.data));
  options.listen = listen_address(flags.network, flags.listen, 0);
  options.advertise = flags.advertise;
  options.coordinator = flags.coordinator;
  options.transport = network.transport;
  options.net = network.options;
  options.trace = flags.trace;
  for (const std::string& route : flags.routes) {
    const size_t equals = route.find('=');
    if (equals == std::string::npos) {
      return config_error("--route " + route + ": expected ISLAND=HOST:PORT")
          .at("skarv join")
          .with_hint("for instance --route north=127.0.0.1:7701");
    }
    const std::string island = route.substr(0, equals);
    if (options.job.plan.find_island(island) == nullptr) {
      return config_error(cat("--route ", route, ": the plan has no island ", island))
          .at(flags.job)
          .with_hint("skarv plan shows the islands of a plan");
    }
    options.routes[island] = route.substr(equals + 1);
  }
  options.on_listening = [&flags, run = options.job.run.name](const std::string& address) {
    tell_address(flags, run, address);
  };
  SKARV_TRY(ask_coordinator(options));
  watch_interrupts();
  Agent agent(std::move(options));
  return agent.run();
}

}  // namespace

void add_join(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<JoinFlags>();
  CLI::App* verb = app.add_subcommand("join", "bring this host's devices into a run");
  verb->add_option("--job", flags->job, "job.json that skarv train wrote")->required();
  verb->add_option("--island", flags->island, "name of the island, as in the plan")->required();
  verb->add_option("--folder", flags->folder, "state of this island; the same at a restart")
      ->required();
  verb->add_option("--coordinator", flags->coordinator, "its address")->required();
  verb->add_option("--data", flags->data, "token files, instead of the run file's folder");
  verb->add_option(
      "--listen", flags->listen,
      "address for the other islands; default any port, with --plain of this machine only");
  verb->add_option("--advertise", flags->advertise, "where others reach it, if not there");
  verb->add_option("--route", flags->routes, "ISLAND=ADDRESS: reach that island there instead");
  add_network_flags(*verb, flags->network);
  verb->add_flag("--trace", flags->trace, "write a Perfetto trace of a step");
  verb->add_flag("--json", flags->json,
                 "once it listens, print one line of JSON: address, run, island, coordinator");
  verb->footer(
      "Example: skarv join --job job.json --island south --folder state --certs certs "
      "--coordinator coord.example:7700");
  verb->callback([flags, &action] { action = [flags] { return join_run(*flags); }; });
}

}  // namespace skarv
