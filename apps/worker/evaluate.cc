// skarv-worker evaluate: the loss of a checkpoint on held-out samples.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "device/numerics.h"
#include "train/inference.h"
#include "verb.h"

namespace skarv::worker {
namespace {

struct Flags {
  std::string checkpoint, data, logits, chip = "cpu", plugin;
  int64_t num_samples = 64;
  int num_threads = 1;
  bool json = false;
};

Status evaluate(const Flags& flags) {
  SKARV_TRY(check_torch_version().status());
  SKARV_ASSIGN(Device device, open_device(flags.plugin, flags.chip));
  SKARV_TRY(apply(Numerics{.num_threads = flags.num_threads}));
  SKARV_ASSIGN(auto model, train::WholeModel::load(flags.checkpoint, device));
  SKARV_ASSIGN(auto samples, train::open_validation_samples(flags.data, model->model().context,
                                                            model->model().vocabulary));
  SKARV_ASSIGN(double loss, model->evaluate(*samples, flags.num_samples));
  if (!flags.logits.empty()) {
    SKARV_ASSIGN(const std::vector<float> logits, model->last_logits(*samples, flags.num_samples));
    SKARV_TRY(write_file_atomic(flags.logits, {reinterpret_cast<const char*>(logits.data()),
                                               logits.size() * sizeof(float)}));
  }
  if (flags.json) {
    const Json json = {{"loss", loss},
                       {"samples", flags.num_samples},
                       {"tokens", flags.num_samples * model->model().context}};
    std::printf("%s\n", json.dump().c_str());
  } else {
    std::printf("loss %.4f nats over %lld samples\n", loss,
                static_cast<long long>(flags.num_samples));
  }
  return Status();
}

}  // namespace

void add_evaluate(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("evaluate", "mean loss of a checkpoint on held-out samples");
  verb->add_option("--checkpoint", flags->checkpoint, "folder in Hugging Face's form")->required();
  verb->add_option("--data", flags->data, "folder of skarv data")->required();
  verb->add_option("--samples", flags->num_samples, "how many")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  verb->add_option("--logits", flags->logits,
                   "file for the logits of each sample's last position: raw fp32, as in memory");
  verb->add_option("--chip", flags->chip, "cpu, or a chip of CUDA or ROCm")->capture_default_str();
  verb->add_option("--plugin", flags->plugin, "library of the device's maker, loaded first");
  verb->add_option("--threads", flags->num_threads, "of one op on cpu")->capture_default_str();
  verb->add_flag("--json", flags->json, "print JSON: loss in nats, samples, tokens");
  verb->footer(
      "Example: skarv-worker evaluate --checkpoint export --data data --samples 64 --json");
  verb->callback([flags, &action] { action = [flags] { return evaluate(*flags); }; });
}

}  // namespace skarv::worker
