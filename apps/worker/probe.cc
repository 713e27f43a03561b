// skarv-worker probe: how fast this device is and how much it holds.
#include "train/probe.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "device/cpu_memory.h"
#include "device/numerics.h"
#include "train/probe_ops.h"
#include "verb.h"

namespace skarv::worker {
namespace {

struct Flags {
  std::string run, plugin;
  train::ProbeOptions options;
  int num_threads = 1, ordinal = 0;
  bool ops = false, json = false;
};

// A run file as people write it, or, from another program of Skarv, as JSON.
Result<Run> read(const std::string& path) {
  SKARV_ASSIGN(const std::string text, read_file(path));
  if (!text.starts_with('{')) return parse_run(text, path);
  SKARV_ASSIGN(const Json json, parse_json(text, path));
  return run_from_json(json, path);
}

Status print_ops(const Run& run, const Device& device, const Flags& flags) {
  SKARV_ASSIGN(const OpProfile profile,
               train::profile_step(run, device, flags.options.microbatches.front()));
  if (flags.json) {
    std::printf("%s\n", to_json(profile).dump(2).c_str());
    return Status();
  }
  std::vector<std::vector<std::string>> rows{{"op", "calls", "time", "share", ""}};
  for (const OpProfile::Row& row : profile.rows) {
    rows.push_back({row.op, cat(row.num_calls), human_seconds(row.seconds),
                    fixed(100 * row.seconds / profile.seconds, 1) + " %",
                    row.is_fallback ? "fallback" : ""});
  }
  std::printf("%sall ops %s; the device's fallback does %.1f %% of it\n",
              format_table(rows).c_str(), human_seconds(profile.seconds).c_str(),
              100 * profile.fallback_share());
  return Status();
}

Status run_probe(const Flags& flags) {
  SKARV_TRY(check_torch_version().status());
  SKARV_ASSIGN(Run run, read(flags.run));
  SKARV_TRY(check_model(run.model, flags.run));
  SKARV_ASSIGN(Device device, open_device(flags.plugin, flags.options.chip, flags.ordinal,
                                          flags.options.pace > 0));
  count_cpu_memory();
  SKARV_TRY(apply(Numerics{.num_threads = flags.num_threads}));
  SKARV_TRY(device.make_current());
  if (flags.ops) return print_ops(run, device, flags);
  SKARV_ASSIGN(Profile profile, train::probe(run, device, flags.options));
  if (flags.options.pace > 0) {
    std::fprintf(stderr, "%s is paced: times are nominal, %.2f x the fastest measured run\n",
                 flags.options.device.c_str(), train::kNominalFactor);
  }
  if (flags.json) {
    std::printf("%s\n", to_json(profile).dump(2).c_str());
    return Status();
  }
  std::vector<std::vector<std::string>> rows{{"layer", "microbatch", "forward", "backward input",
                                              "backward weight", "update", "activations"}};
  for (const LayerTime& time : profile.layers) {
    rows.push_back({name_of(time.kind), cat(time.microbatch), human_seconds(time.forward),
                    human_seconds(time.backward_input), human_seconds(time.backward_weight),
                    human_seconds(time.update), human_bytes(time.activation_bytes)});
  }
  const DeviceMeasure& measure = profile.devices.front();
  std::printf("%susable memory %s, of a worker without a model %s\n", format_table(rows).c_str(),
              human_bytes(measure.usable_bytes).c_str(), human_bytes(measure.base_bytes).c_str());
  return Status();
}

}  // namespace

void add_probe(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("probe", "measure this device with the layers of a run");
  verb->add_option("--run,--model", flags->run, "run file: TOML, or JSON as `skarv` ships it")
      ->required();
  verb->add_option("--device", flags->options.device, "name of the device: site/host/index")
      ->required();
  verb->add_option("--chip", flags->options.chip, "its chip, as the catalog names it")
      ->default_val("cpu");
  verb->add_option("--plugin", flags->plugin, "library of the device's maker, loaded first");
  verb->add_option("--ordinal", flags->ordinal, "which of the host's devices of this kind")
      ->check(CLI::Range(0, 4095))
      ->capture_default_str();
  verb->add_option("--pace", flags->options.pace, "share of a core that the device emulates")
      ->check(CLI::Range(0.0, 1.0));
  verb->add_option("--microbatches", flags->options.microbatches, "sizes to measure")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  verb->add_option("--seconds", flags->options.seconds_per_size, "for each size and kind of layer")
      ->capture_default_str();
  verb->add_option("--threads", flags->num_threads, "of one op on cpu")->capture_default_str();
  verb->add_flag(
      "--ops", flags->ops,
      "instead: the ops of one step of the whole model, of the first microbatch size, and "
      "what the device's fallback does of them");
  verb->add_flag("--json", flags->json, "print a profile");
  verb->footer(
      "Example: skarv-worker probe --run run.toml --device north/a/0 --pace 0.5 --json\n"
      "Times of a paced device are nominal: 1.38 times the fastest of many short runs.");
  verb->callback([flags, &action] { action = [flags] { return run_probe(*flags); }; });
}

}  // namespace skarv::worker
