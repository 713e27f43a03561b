// skarv export: a run's outer weights as a folder that transformers loads.
#include "ckpt/export.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/text.h"
#include "ckpt/checkpoint.h"
#include "ckpt/checkpoint_reader.h"
#include "export_run.h"
#include "verb.h"

namespace skarv {

namespace {

struct ExportFlags {
  std::string run, output, type = "float32";
  bool json = false;
};

// What else a checkpoint says of itself is for its owner; export lives without it.
int64_t round_of(const CheckpointReader& reader) {
  const Json& extra = reader.extra();
  if (!extra.is_object() || !extra.contains("round")) return 0;
  return extra["round"].is_number_integer() ? extra["round"].get<int64_t>() : 0;
}

// The folder of a run, of an island, or of one checkpoint.
Result<std::filesystem::path> find_checkpoint(const std::filesystem::path& given) {
  if (std::filesystem::exists(given / "COMMIT")) return given;
  if (std::filesystem::is_directory(given / "checkpoints")) {
    return latest_checkpoint(given / "checkpoints");
  }
  std::error_code ignored;
  std::optional<std::filesystem::path> newest;
  int64_t newest_step = -1;
  for (const auto& entry : std::filesystem::directory_iterator(given, ignored)) {
    if (!std::filesystem::is_directory(entry.path() / "checkpoints")) continue;
    const auto latest = latest_checkpoint(entry.path() / "checkpoints");
    if (!latest.ok()) continue;
    SKARV_ASSIGN(const CheckpointReader reader, CheckpointReader::open(*latest));
    const int64_t round = round_of(reader);
    if (round > newest_step) newest = *latest, newest_step = round;
  }
  if (newest) return *newest;
  return Status(Code::kNotFound, Scope::kConfig, "no checkpoint in it")
      .at(given.string())
      .with_hint("give the folder of a run (skarv train --out), of an island, or of a checkpoint");
}

std::filesystem::path find_tokenizer(const std::filesystem::path& checkpoint) {
  // <island>/checkpoints/step-n -> <island>/data/tokenizer.json
  const auto path = checkpoint.parent_path().parent_path() / "data" / "tokenizer.json";
  return std::filesystem::exists(path) ? path : std::filesystem::path();
}

Status export_verb(const ExportFlags& flags) {
  if (flags.output.empty()) {
    return config_error("--out is empty").at("skarv export").with_hint("name a new folder");
  }
  SKARV_ASSIGN(const ExportedRun exported,
               export_run(flags.run, flags.output, flags.type == "bfloat16"));
  if (flags.json) {
    const Json json = {{"folder", flags.output},
                       {"checkpoint", exported.checkpoint.string()},
                       {"round", exported.round},
                       {"parameters", exported.num_parameters}};
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    std::printf("%s: %s parameters of round %lld, from %s\n", flags.output.c_str(),
                human_count(static_cast<double>(exported.num_parameters)).c_str(),
                static_cast<long long>(exported.round), exported.checkpoint.c_str());
  }
  return Status();
}

}  // namespace

Result<ExportedRun> export_run(const std::filesystem::path& run,
                               const std::filesystem::path& output, bool bfloat16) {
  if (!std::filesystem::exists(run)) {
    return Status(Code::kNotFound, Scope::kConfig, "there is no such folder")
        .at(run.string())
        .with_hint(
            "give the folder of a run (skarv train --out), of an island, or of a checkpoint");
  }
  ExportedRun exported;
  SKARV_ASSIGN(exported.checkpoint, find_checkpoint(run));
  SKARV_ASSIGN(const CheckpointReader reader, CheckpointReader::open(exported.checkpoint));
  if (!reader.extra().is_object() || !reader.extra().contains("model")) {
    return Status(Code::kDataLoss, Scope::kRun, "the checkpoint does not say its model")
        .at((exported.checkpoint / "manifest.json").string())
        .with_hint("export an older one: name its folder");
  }
  SKARV_ASSIGN(const Model model,
               model_from_json(reader.extra()["model"], exported.checkpoint.string()));
  SKARV_TRY(reader.check_model("outer.w", model));
  ExportOptions options;
  options.type = bfloat16 ? DataType::kBfloat16 : DataType::kFloat32;
  options.tokenizer = find_tokenizer(exported.checkpoint);
  if (!options.tokenizer.empty()) options.end_token = "<|endoftext|>";
  exported.round = round_of(reader);
  exported.num_parameters = num_parameters(model);
  SKARV_TRY(export_hugging_face(
      model,
      [&](const std::string& name, int64_t begin, std::span<float> out) {
        return reader.read("outer.w", name, begin, out);
      },
      output, options));
  return exported;
}

void add_export(CLI::App& app, VerbAction& action) {
  auto flags = std::make_shared<ExportFlags>();
  CLI::App* verb = app.add_subcommand("export", "write a Hugging Face folder of the outer weights");
  verb->add_option("run", flags->run, "folder of a run, an island or a checkpoint")->required();
  verb->add_option("--out", flags->output, "new folder")->required();
  verb->add_option("--type", flags->type, "float32 or bfloat16")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  verb->add_flag("--json", flags->json, "print JSON");
  verb->footer("Example: skarv export runs/demo --out demo-model");
  verb->callback([flags, &action] { action = [flags] { return export_verb(*flags); }; });
}

}  // namespace skarv
