// skarv-worker run: a device of a run, under the orders of the host's agent.
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "device/plugin.h"
#include "handoff/channel.h"
#include "net/transport.h"
#include "train/worker.h"
#include "verb.h"

namespace skarv::worker {
namespace {

// How long an agent has to come (back): the worker keeps the outer state of its slabs meanwhile.
constexpr Duration kAgentPatience = std::chrono::seconds(60);

struct Flags {
  std::string agent, device, session, plugin, address = "127.0.0.1:0";
};

Status run(const Flags& flags) {
  SKARV_ASSIGN(std::string torch, check_torch_version());
  // Before anything of libtorch computes (device/plugin.h).
  if (!flags.plugin.empty()) {
    SKARV_ASSIGN([[maybe_unused]] Plugin plugin, load_plugin(flags.plugin));
  }
  const train::WorkerOptions options{.device = flags.device,
                                     .session = flags.session,
                                     .torch = torch,
                                     .address = flags.address,
                                     .transport = net::make_tcp_transport()};
  std::optional<handoff::SharedMemory> kept;
  for (bool first = true;; first = false) {
    auto channel = handoff::Channel::connect(flags.agent, Clock::real().now() + kAgentPatience);
    // An agent that does not come back has ended the run: that is no failure of a worker.
    if (!channel.ok()) return first ? channel.status() : Status();
    SKARV_ASSIGN(train::WorkerEnd end,
                 train::run_worker(std::move(channel).value(), options, std::move(kept)));
    if (end.stopped) return Status();
    kept = std::move(end.memory);
  }
}

}  // namespace

void add_run(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("run", "compute for an agent until it says stop");
  verb->add_option("--agent", flags->agent, "the agent's socket")->required();
  verb->add_option("--device", flags->device, "this device's name: site/host/index")->required();
  verb->add_option("--session", flags->session, "the agent's word that this worker is its own");
  verb->add_option("--plugin", flags->plugin, "library of the device's maker, loaded first");
  verb->add_option("--address", flags->address, "where the other workers of the island reach it")
      ->capture_default_str();
  verb->footer(
      "Example: skarv-worker run --agent runs/first/north/workers.sock --device north/a/0");
  verb->callback([flags, &action] { action = [flags] { return run(*flags); }; });
}

}  // namespace skarv::worker
