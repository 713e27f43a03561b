// skarv generate: text sampled from an exported model, by a fresh worker process.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "base/text.h"
#include "child.h"
#include "verb.h"

namespace skarv {

namespace {

struct GenerateFlags {
  std::string model, prompt = "\n";
  int num_tokens = 120;
  uint64_t seed = 1;
  double temperature = 0.8;
  bool json = false;
};

Status generate(const GenerateFlags& flags) {
  if (std::isnan(flags.temperature)) {  // which a range lets pass
    return config_error("--temperature is not a number")
        .at("skarv generate")
        .with_hint("0 takes the likeliest token, 1 samples as the model says");
  }
  if (!std::filesystem::exists(std::filesystem::path(flags.model) / "model.safetensors")) {
    return Status(Code::kNotFound, Scope::kConfig, "no model.safetensors in it")
        .at(flags.model)
        .with_hint("give a folder that skarv export wrote");
  }
  SKARV_ASSIGN(const std::string worker, find_program("skarv-worker"));
  std::vector<std::string> command = {
      worker,     "generate",      "--checkpoint",  flags.model,
      "--prompt", flags.prompt,    "--tokens",      cat(flags.num_tokens),
      "--seed",   cat(flags.seed), "--temperature", cat(flags.temperature)};
  if (flags.json) command.push_back("--json");
  SKARV_ASSIGN(const std::string text,
               run_and_read(command, Clock::real().now() + std::chrono::minutes(10)));
  std::fwrite(text.data(), 1, text.size(), stdout);
  return Status();
}

}  // namespace

void add_generate(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<GenerateFlags>();
  CLI::App* verb = app.add_subcommand("generate", "sample text from an exported model");
  verb->add_option("model", flags->model, "folder of skarv export")->required();
  verb->add_option("--prompt", flags->prompt, "the text goes on from here");
  verb->add_option("--tokens", flags->num_tokens, "how many")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  verb->add_option("--seed", flags->seed, "of the random choice")->capture_default_str();
  verb->add_option("--temperature", flags->temperature, "0: always the likeliest token")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  verb->add_flag("--json", flags->json, "print JSON");
  verb->footer("Example: skarv generate demo-model --prompt \"def \" --tokens 100");
  verb->callback([flags, &action] { action = [flags] { return generate(*flags); }; });
}

}  // namespace skarv
