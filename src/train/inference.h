// The whole model on one device, from a folder in Hugging Face's form: what `evaluate` and
// `generate` of the worker do. Nothing of training is needed for it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "device/device.h"
#include "model/stage_module.h"
#include "train/batch.h"
#include "train/sample_source.h"

namespace skarv::train {

// One thread.
class WholeModel {
 public:
  // config.json and model.safetensors. Errors: kNotFound, kDataLoss, kInvalidArgument (a tensor of
  // another shape), each naming the file.
  static Result<std::unique_ptr<WholeModel>> load(const std::filesystem::path& folder,
                                                  const Device& device);

  const Model& model() const { return model_; }
  // Mean loss in nats of samples [0, num_samples).
  Result<double> evaluate(const SampleSource& samples, int64_t num_samples);
  // Logits of the last position of each of samples [0, num_samples), one sample after another.
  Result<std::vector<float>> last_logits(const SampleSource& samples, int64_t num_samples);
  // The id after `ids`, drawn with the number-th random word of `seed`; temperature 0 takes the
  // likeliest. Looks at the last `context` ids.
  Result<int32_t> next_token(const std::vector<int32_t>& ids, uint64_t seed, uint64_t number,
                             double temperature);

 private:
  WholeModel(const Model& model, const Device& device);
  // As many of samples [first, num_samples) as are taken at once.
  Result<Tokens> read_some(const SampleSource& samples, int64_t first, int64_t num_samples) const;

  const Model model_;
  const Device device_;
  ParameterStore store_;
  StageModule stage_;
};

// Encodes the prompt with the folder's tokenizer.json, draws `num_tokens` (fewer when the text
// ends) and returns prompt and continuation as valid UTF-8.
Result<std::string> generate_text(WholeModel& model, const std::filesystem::path& folder,
                                  const std::string& prompt, int64_t num_tokens, uint64_t seed,
                                  double temperature);

}  // namespace skarv::train
