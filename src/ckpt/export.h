// A folder that transformers loads: config.json, generation_config.json, model.safetensors,
// tokenizer.json, tokenizer_config.json.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "base/status.h"
#include "ckpt/safetensors.h"
#include "spec/model.h"

namespace skarv {

// Fills `out` with elements from `begin` on of a tensor of the model.
using TensorSource =
    std::function<Status(const std::string& name, int64_t begin, std::span<float> out)>;

struct ExportOptions {
  DataType type = DataType::kFloat32;
  std::filesystem::path tokenizer;  // tokenizer.json (Hugging Face); empty: none is written
  std::string end_token;            // that ends a text, as the tokenizer spells it; empty: none
};

// `folder` must not exist; it appears whole or not at all. Errors: kAlreadyExists; kNotFound naming
// the missing tensor or an end token that the tokenizer lacks; kResourceExhausted.
Status export_hugging_face(const Model& model, const TensorSource& source,
                           const std::filesystem::path& folder, const ExportOptions& options);

}  // namespace skarv
