#include "ckpt/export.h"

#include <unistd.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"

namespace skarv {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kPiece = 1 << 20;

Status write_weights(const Model& model, const TensorSource& source, const fs::path& path,
                     DataType type) {
  std::vector<TensorDeclaration> declarations;
  const std::vector<TensorSpec> tensors = tensors_of(model);
  for (const TensorSpec& tensor : tensors) {
    declarations.push_back({tensor.name, type, tensor.shape});
  }
  // transformers asks for this key.
  SKARV_ASSIGN(SafetensorsWriter writer,
               SafetensorsWriter::create(path, declarations, {{"format", "pt"}}));
  std::vector<float> values;
  for (const TensorSpec& tensor : tensors) {
    const int64_t size = tensor.num_elements();
    for (int64_t begin = 0; begin < size; begin += kPiece) {
      values.resize(static_cast<size_t>(std::min(kPiece, size - begin)));
      SKARV_TRY(source(tensor.name, begin, values));
      SKARV_TRY(writer.append(values));
    }
  }
  return writer.finish().status();
}

// The id of a token that the tokenizer lists as added or in its vocabulary.
std::optional<int64_t> id_of(const Json& tokenizer, const std::string& token) {
  if (tokenizer.contains("added_tokens") && tokenizer["added_tokens"].is_array()) {
    for (const Json& entry : tokenizer["added_tokens"]) {
      if (entry.is_object() && entry.value("content", "") == token) {
        return entry.value("id", int64_t{-1});
      }
    }
  }
  if (tokenizer.contains("model") && tokenizer["model"].is_object() &&
      tokenizer["model"].contains("vocab")) {
    const Json& vocabulary = tokenizer["model"]["vocab"];
    if (vocabulary.is_object() && vocabulary.contains(token)) return vocabulary[token];
  }
  return std::nullopt;
}

Status write_all(const Model& model, const TensorSource& source, const fs::path& folder,
                 const ExportOptions& options) {
  Json config = to_hugging_face(model);
  Json generation = Json::object();
  if (!options.tokenizer.empty()) {
    SKARV_ASSIGN(const std::string text, read_file(options.tokenizer));
    SKARV_ASSIGN(const Json tokenizer, parse_json(text, options.tokenizer.string()));
    Json settings = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                     {"model_max_length", model.context},
                     {"clean_up_tokenization_spaces", false}};
    if (!options.end_token.empty()) {
      const std::optional<int64_t> id = id_of(tokenizer, options.end_token);
      if (!id) {
        return Status(Code::kNotFound, Scope::kConfig,
                      "the tokenizer has no token \"" + options.end_token + "\"")
            .at(options.tokenizer.string())
            .with_hint("name the token that ends a text as the tokenizer spells it");
      }
      settings["eos_token"] = options.end_token;
      config["eos_token_id"] = generation["eos_token_id"] = *id;
    }
    SKARV_TRY(write_file_atomic(folder / "tokenizer.json", text));
    SKARV_TRY(write_file_atomic(folder / "tokenizer_config.json", settings.dump(2) + "\n"));
  }
  SKARV_TRY(write_file_atomic(folder / "config.json", config.dump(2) + "\n"));
  SKARV_TRY(write_file_atomic(folder / "generation_config.json", generation.dump(2) + "\n"));
  return write_weights(model, source, folder / "model.safetensors", options.type);
}

}  // namespace

Status export_hugging_face(const Model& model, const TensorSource& source, const fs::path& folder,
                           const ExportOptions& options) {
  const fs::path target = folder.has_filename() ? folder : folder.parent_path();
  std::error_code error;
  if (fs::exists(target, error)) {
    return Status(Code::kAlreadyExists, Scope::kConfig, "the folder exists")
        .at(target.string())
        .with_hint("choose a folder that does not exist yet");
  }
  if (target.has_parent_path()) SKARV_TRY(make_directories(target.parent_path()));
  const fs::path partial = cat(target.string(), ".partial", ::getpid());
  SKARV_TRY(make_directories(partial));
  Status status = write_all(model, source, partial, options);
  if (status.ok()) {
    fs::rename(partial, target, error);
    if (error) status = io_error("cannot rename into place", target.string(), error.value());
  }
  if (!status.ok()) fs::remove_all(partial, error);
  return status.ok() ? sync_directory(target.parent_path()) : status;
}

}  // namespace skarv
