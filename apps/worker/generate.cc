// skarv-worker generate: text sampled from a checkpoint.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/json.h"
#include "device/numerics.h"
#include "train/inference.h"
#include "verb.h"

namespace skarv::worker {
namespace {

struct Flags {
  std::string checkpoint, prompt, chip = "cpu", plugin;
  int64_t num_tokens = 100;
  uint64_t seed = 1;
  double temperature = 0.8;
  int num_threads = 1;
  bool json = false;
};

Status generate(const Flags& flags) {
  SKARV_TRY(check_torch_version().status());
  SKARV_ASSIGN(Device device, open_device(flags.plugin, flags.chip));
  SKARV_TRY(apply(Numerics{.num_threads = flags.num_threads}));
  SKARV_ASSIGN(auto model, train::WholeModel::load(flags.checkpoint, device));
  SKARV_ASSIGN(std::string text,
               train::generate_text(*model, flags.checkpoint, flags.prompt, flags.num_tokens,
                                    flags.seed, flags.temperature));
  if (flags.json) text = Json{{"text", text}}.dump();
  std::printf("%s\n", text.c_str());
  return Status();
}

}  // namespace

void add_generate(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("generate", "text sampled from a checkpoint");
  verb->add_option("--checkpoint", flags->checkpoint, "folder in Hugging Face's form")->required();
  verb->add_option("--prompt", flags->prompt, "the text goes on from here");
  verb->add_option("--tokens", flags->num_tokens, "how many to draw")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb->add_option("--seed", flags->seed, "of the random choice")->capture_default_str();
  verb->add_option("--temperature", flags->temperature, "0: always the likeliest token")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  verb->add_option("--chip", flags->chip, "cpu, or a chip of CUDA or ROCm")->capture_default_str();
  verb->add_option("--plugin", flags->plugin, "library of the device's maker, loaded first");
  verb->add_option("--threads", flags->num_threads, "of one op on cpu")->capture_default_str();
  verb->add_flag("--json", flags->json, "print JSON: the text");
  verb->footer("Example: skarv-worker generate --checkpoint export --prompt \"def \" --tokens 50");
  verb->callback([flags, &action] { action = [flags] { return generate(*flags); }; });
}

}  // namespace skarv::worker
