// skarv coordinator: one a run; may be killed and started again at any moment.
#include "wan/coordinator.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/json.h"
#include "base/text.h"
#include "inputs.h"
#include "interrupt.h"
#include "network.h"
#include "spec/uplink.h"
#include "verb.h"

namespace skarv {

namespace {

// Islands hear of the end from the last heartbeats.
constexpr auto kFarewell = std::chrono::seconds(3);
constexpr int kPort = 7700;

struct CoordinatorFlags {
  std::string job, folder, listen;
  NetworkFlags network;
  bool json = false;
};

Status coordinate(const CoordinatorFlags& flags) {
  SKARV_ASSIGN(const Job job, read_job(flags.job));
  SKARV_ASSIGN(Network network, open_network(flags.network, job.run, "coordinator"));
  wan::CoordinatorOptions options;
  options.run = job.run;
  for (const Island& island : job.plan.islands) {
    options.view.islands.push_back(
        {island.name, uplink_of(job.cluster, site_of(island)), island.samples()});
  }
  options.last_round = job.run.steps / job.run.steps_per_round();
  options.folder = flags.folder;
  options.listen = listen_address(flags.network, flags.listen, kPort);
  options.transport = network.transport;
  options.net = network.options;

  watch_interrupts();
  EventLog events("coordinator");
  SKARV_TRY(make_directories(flags.folder));
  SKARV_TRY(events.open(std::filesystem::path(flags.folder) / "events.jsonl"));
  wan::Coordinator coordinator(std::move(options), events);
  // A script has stdout for itself.
  const auto say = [people = flags.json ? stderr : stdout](const std::string& text) {
    std::fprintf(people, "%s\n", text.c_str());
    std::fflush(people);
  };
  coordinator.on_say = say;
  SKARV_TRY(coordinator.start());
  if (flags.json) {
    const Json json = {
        {"run", job.run.name}, {"address", coordinator.address()}, {"folder", flags.folder}};
    std::printf("%s\n", json.dump().c_str());
    std::fflush(stdout);
  } else {
    say(cat("coordinator of run '", job.run.name, "' listens at ", coordinator.address()));
  }
  while (num_interrupts() == 0 && !coordinator.finished()) {
    SKARV_TRY(coordinator.failure());
    Clock::real().sleep_until(Clock::real().now() + std::chrono::milliseconds(50));
  }
  if (coordinator.finished()) {
    const Time until = Clock::real().now() + kFarewell;
    while (num_interrupts() == 0 && Clock::real().now() < until) {
      Clock::real().sleep_until(Clock::real().now() + std::chrono::milliseconds(50));
    }
    say("the run is over");
  }
  const bool over = coordinator.finished();
  coordinator.stop();
  if (over) return Status();
  return Status(Code::kCancelled, Scope::kRun, "interrupted; every closed round is in the ledger")
      .with_hint("the same command goes on with the run");
}

}  // namespace

void add_coordinator(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<CoordinatorFlags>();
  CLI::App* verb = app.add_subcommand("coordinator", "lead a run: rounds, ledger, sample leases");
  verb->add_option("--job", flags->job, "job.json that skarv train wrote")->required();
  verb->add_option("--folder", flags->folder, "ledger and events; the same at a restart")
      ->required();
  verb->add_option("--listen", flags->listen,
                   cat("address; default 0.0.0.0:", kPort, ", with --plain 127.0.0.1:", kPort));
  add_network_flags(*verb, flags->network);
  verb->add_flag("--json", flags->json,
                 "once it listens, print one line of JSON: address, run, folder");
  verb->footer(
      "Example: skarv coordinator --job job.json --folder coordinator --certs certs "
      "--listen 0.0.0.0:7700");
  verb->callback([flags, &action] { action = [flags] { return coordinate(*flags); }; });
}

}  // namespace skarv
