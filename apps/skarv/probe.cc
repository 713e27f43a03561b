// skarv probe: measures the devices of a cluster file on this machine; writes a profile.
#include "probe.h"

#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <set>

#include "base/file.h"
#include "base/text.h"
#include "child.h"
#include "inputs.h"
#include "progress.h"
#include "verb.h"

namespace skarv {

namespace {

constexpr auto kProbeLimit = std::chrono::minutes(10);

void print_profile(const Profile& profile, const std::vector<DeviceInfo>& devices, const Run& run) {
  std::vector<std::vector<std::string>> rows = {
      {"device", "chip", "speed", "usable", "block fwd", "block bwd", "microbatch"}};
  for (const DeviceInfo& device : devices) {
    const LayerTime* shown = nullptr;
    for (const LayerTime& time : profile.layers) {
      if (time.chip == device.chip.name && time.kind == LayerKind::kBlock) shown = &time;
    }
    if (shown == nullptr) continue;
    const double share = device.pace > 0 ? device.pace : 1;
    rows.push_back({device.name, device.chip.name,
                    device.pace > 0 ? cat(fixed(device.pace, 2), " of a core, paced") : "full",
                    human_bytes(static_cast<double>(device.memory_bytes)),
                    human_seconds(shown->forward / share),
                    human_seconds((shown->backward_input + shown->backward_weight) / share),
                    cat(shown->microbatch, " x ", run.model.context)});
  }
  std::printf("%s", format_table(rows).c_str());
}

struct ProbeFlags {
  std::string run, cluster, output = "profile.json", data;
  bool json = false, quiet = false;
};

Status probe(const ProbeFlags& flags) {
  SKARV_ASSIGN(const RunInput input, read_run_input(flags.run, flags.data));
  SKARV_ASSIGN(const Cluster cluster, read_cluster(flags.cluster));
  SKARV_ASSIGN(const std::vector<DeviceInfo> devices, expand_devices(cluster));
  Progress progress(flags.quiet || flags.json);
  SKARV_ASSIGN(const Profile profile, measure_profile(input.run, cluster, progress));
  progress.finish();
  SKARV_TRY(write_file_atomic(flags.output, to_json(profile).dump(1) + "\n"));
  if (flags.json) {
    std::printf("%s\n", to_json(profile).dump(2).c_str());
  } else {
    print_profile(profile, devices, input.run);
    std::printf("profile: %s\n", flags.output.c_str());
  }
  return Status();
}

// For a child that opens it by its number here: however this process ends, nothing lies around.
Result<FileHandle> file_in_memory(std::string_view text) {
  FileHandle file(::memfd_create("skarv-probe", MFD_CLOEXEC));
  if (!file) return io_error("cannot make a file in memory", "memfd", errno);
  while (!text.empty()) {
    const ssize_t written = ::write(file.get(), text.data(), text.size());
    if (written < 0) return io_error("cannot write to a file in memory", "memfd", errno);
    text.remove_prefix(static_cast<size_t>(written));
  }
  return file;
}

}  // namespace

Result<Profile> measure_profile(const Run& run, const Cluster& cluster, Progress& progress) {
  SKARV_ASSIGN(const std::string worker, find_program("skarv-worker"));
  SKARV_ASSIGN(const std::vector<DeviceInfo> devices, expand_devices(cluster));
  SKARV_ASSIGN(const FileHandle run_file, file_in_memory(to_json(run).dump()));
  const std::string run_path = cat("/proc/", ::getpid(), "/fd/", run_file.get());
  Profile profile;
  profile.model = digest_of(run.model).hex();
  std::set<std::string> measured;  // chips; equal devices are measured once
  for (size_t i = 0; i < devices.size(); ++i) {
    const DeviceInfo& device = devices[i];
    progress.update(static_cast<double>(i) / static_cast<double>(devices.size()),
                    cat("measuring ", device.name, " (", device.chip.name, ")"));
    if (measured.insert(device.chip.name).second) {
      std::vector<std::string> command = {
          worker,      "probe",  "--run",          run_path,    "--device",
          device.name, "--chip", device.chip.name, "--ordinal", cat(device.ordinal),
          "--json"};
      if (!device.plugin.empty()) command.insert(command.end(), {"--plugin", device.plugin});
      if (device.pace > 0) command.insert(command.end(), {"--pace", cat(device.pace)});
      auto output = run_and_read(command, Clock::real().now() + kProbeLimit);
      if (!output.ok()) return output.status().wrap("cannot measure " + device.name);
      SKARV_ASSIGN(const Json json, parse_json(*output, "skarv-worker probe"));
      SKARV_ASSIGN(const Profile part, profile_from_json(json, "skarv-worker probe"));
      profile.layers.insert(profile.layers.end(), part.layers.begin(), part.layers.end());
      profile.devices.insert(profile.devices.end(), part.devices.begin(), part.devices.end());
    }
    const bool known = std::any_of(profile.devices.begin(), profile.devices.end(),
                                   [&](const DeviceMeasure& m) { return m.device == device.name; });
    if (!known) {
      DeviceMeasure measure;
      for (const DeviceMeasure& other : profile.devices) {
        if (other.chip == device.chip.name) measure = other;
      }
      measure.device = device.name;
      measure.pace = device.pace;
      profile.devices.push_back(measure);
    }
  }
  for (DeviceMeasure& measure : profile.devices) {
    for (const DeviceInfo& device : devices) {
      if (device.name != measure.device || device.memory_bytes <= 0) continue;
      measure.usable_bytes = static_cast<double>(device.memory_bytes);
    }
  }
  for (const Link& link : cluster.links) {
    profile.links.push_back({link.from, link.to, link.bandwidth, link.round_trip / 2});
  }
  progress.update(1, "measured");
  return profile;
}

void add_probe(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<ProbeFlags>();
  CLI::App* verb = app.add_subcommand("probe", "measure this machine's devices; writes a profile");
  verb->add_option("run", flags->run, "run file (TOML)")->required();
  verb->add_option("--cluster", flags->cluster, "cluster file (TOML)")->required();
  verb->add_option("--data", flags->data, "data folder, instead of the run file's");
  verb->add_option("--out", flags->output, "the profile (JSON)")->capture_default_str();
  verb->add_flag("--json", flags->json, "print the profile");
  verb->add_flag("--quiet", flags->quiet, "no progress");
  verb->footer("Example: skarv probe run.toml --cluster cluster.toml --out profile.json");
  verb->callback([flags, &action] { action = [flags] { return probe(*flags); }; });
}

}  // namespace skarv
