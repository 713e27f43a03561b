#include "train/inference.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/softmax.h>

#include <algorithm>
#include <numeric>

#include "base/random.h"
#include "base/text.h"
#include "ckpt/safetensors.h"
#include "data/encoder.h"
#include "data/tokenizer.h"
#include "data/utf8.h"
#include "device/staging.h"
#include "device/torch_error.h"

namespace skarv::train {
namespace {

constexpr int64_t kSamplesAtOnce = 8;

std::vector<int> all_tensors(const Model& model) {
  std::vector<int> tensors(tensors_of(model).size());
  std::iota(tensors.begin(), tensors.end(), 0);
  return tensors;
}

}  // namespace

WholeModel::WholeModel(const Model& model, const Device& device)
    : model_(model),
      device_(device),
      store_(model, all_tensors(model), Precision::kFp32, device.torch_device()),
      stage_(store_, 0, model.num_layers(), Recompute::kNone) {}

Result<std::unique_ptr<WholeModel>> WholeModel::load(const std::filesystem::path& folder,
                                                     const Device& device) {
  SKARV_ASSIGN(Model model, model_from_hugging_face(folder / "config.json"));
  SKARV_ASSIGN(SafetensorsReader reader, SafetensorsReader::open(folder / "model.safetensors"));
  return guarded("load a model", [&]() -> Result<std::unique_ptr<WholeModel>> {
    std::unique_ptr<WholeModel> whole(new WholeModel(model, device));
    const std::vector<TensorSpec> specs = tensors_of(model);
    std::vector<float> values;
    for (const Parameter& parameter : whole->store_.parameters()) {
      const TensorSpec& spec = specs[parameter.tensor];
      const auto found = reader.tensors().find(spec.name);
      if (found != reader.tensors().end() && found->second.shape != spec.shape) {
        return config_error(cat(spec.name, " has another shape than config.json says"))
            .at(reader.path().string());
      }
      values.resize(static_cast<size_t>(spec.num_elements()));
      SKARV_TRY(reader.read(spec.name, 0, values));
      SKARV_TRY(copy_from_host(std::as_bytes(std::span(values)), parameter.value));
    }
    return whole;
  });
}

Result<Tokens> WholeModel::read_some(const SampleSource& samples, int64_t first,
                                     int64_t num_samples) const {
  std::vector<uint64_t> counters(std::min(kSamplesAtOnce, num_samples - first));
  std::iota(counters.begin(), counters.end(), static_cast<uint64_t>(first));
  return read_tokens(samples, counters, model_.context, device_.torch_device());
}

Result<double> WholeModel::evaluate(const SampleSource& samples, int64_t num_samples) {
  return guarded("evaluate", [&]() -> Result<double> {
    double sum = 0;
    for (int64_t first = 0; first < num_samples; first += kSamplesAtOnce) {
      SKARV_ASSIGN(Tokens tokens, read_some(samples, first, num_samples));
      SKARV_ASSIGN(at::Tensor loss, stage_.evaluate({.tokens_bt = tokens.inputs_bt,
                                                     .targets_bt = tokens.targets_bt}));
      sum += loss.item().toDouble();
    }
    return sum / static_cast<double>(num_samples * model_.context);
  });
}

Result<std::vector<float>> WholeModel::last_logits(const SampleSource& samples,
                                                   int64_t num_samples) {
  return guarded("logits of samples", [&]() -> Result<std::vector<float>> {
    std::vector<float> all;
    for (int64_t first = 0; first < num_samples; first += kSamplesAtOnce) {
      SKARV_ASSIGN(Tokens tokens, read_some(samples, first, num_samples));
      SKARV_ASSIGN(at::Tensor logits_bv, stage_.last_logits(tokens.inputs_bt));
      const at::Tensor host = logits_bv.cpu().contiguous();
      all.insert(all.end(), host.data_ptr<float>(), host.data_ptr<float>() + host.numel());
    }
    return all;
  });
}

Result<int32_t> WholeModel::next_token(const std::vector<int32_t>& ids, uint64_t seed,
                                       uint64_t number, double temperature) {
  return guarded("generate", [&]() -> Result<int32_t> {
    const auto length = std::min(static_cast<int64_t>(ids.size()), model_.context);
    if (length == 0) return config_error("there is nothing to continue");
    at::Tensor window = at::empty({1, length}, at::kLong);
    std::copy(ids.end() - length, ids.end(), window.data_ptr<int64_t>());
    SKARV_ASSIGN(at::Tensor logits, stage_.last_logits(window.to(device_.torch_device())));
    logits = logits.cpu().to(at::kDouble).view({-1});
    if (temperature <= 0) return static_cast<int32_t>(logits.argmax().item().toLong());
    const at::Tensor chances = at::softmax(logits.div(temperature), 0);
    // 53 bits of the random word, in [0, 1).
    double left = static_cast<double>(CounterRandom(seed, "generate").at(number) >> 11) * 0x1p-53;
    const double* chance = chances.data_ptr<double>();
    const auto num_ids = static_cast<int32_t>(chances.numel());
    for (int32_t id = 0; id < num_ids; ++id) {
      left -= chance[id];
      if (left < 0) return id;
    }
    return num_ids - 1;
  });
}

Result<std::string> generate_text(WholeModel& model, const std::filesystem::path& folder,
                                  const std::string& prompt, int64_t num_tokens, uint64_t seed,
                                  double temperature) {
  SKARV_ASSIGN(Tokenizer tokenizer, Tokenizer::load(folder / "tokenizer.json"));
  if (tokenizer.vocabulary_size() > model.model().vocabulary) {
    return config_error(cat("the tokenizer knows ", tokenizer.vocabulary_size(), " ids, the model ",
                            model.model().vocabulary))
        .at(folder.string());
  }
  std::vector<int32_t> ids;
  Encoder(tokenizer).encode(prompt, ids, SpecialText::kToken);
  if (ids.empty()) ids.push_back(tokenizer.end_of_text());
  for (int64_t i = 0; i < num_tokens; ++i) {
    SKARV_ASSIGN(int32_t id, model.next_token(ids, seed, static_cast<uint64_t>(i), temperature));
    // An id beyond the tokenizer's is padding of the vocabulary, never trained.
    if (id == tokenizer.end_of_text() || id >= tokenizer.vocabulary_size()) break;
    ids.push_back(id);
  }
  SKARV_ASSIGN(std::string text, tokenizer.decode(ids));
  repair_utf8(text);
  return text;
}

}  // namespace skarv::train
