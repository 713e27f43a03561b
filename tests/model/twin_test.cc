// The decoder against transformers' LlamaForCausalLM: logits, gradients, and ten AdamW steps.
#include <ATen/core/IListRef.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "base/file.h"
#include "model/model_fixture.h"

namespace skarv {
namespace {

namespace fs = std::filesystem;

constexpr int kSteps = 10;
constexpr double kLearningRate = 3e-3, kWeightDecay = 0.1;
const char* const kPython = SKARV_SOURCE_DIR "/.venv/bin/python";

struct Case {
  std::string name;
  Model model;
  int64_t batch;
};

std::vector<Case> cases() {
  Case grouped{"grouped-free", small_model(), 3};
  grouped.model.rope_theta = 500.0;
  Case tied{"tied", small_model(), 2};
  tied.model.tied_head = true;
  tied.model.rms_epsilon = 1e-3;
  Case full{"full-attention", small_model(), 1};
  full.model.num_kv_heads = full.model.num_heads;
  full.model.head_dim = 6;
  full.model.context = 33;
  return {grouped, tied, full};
}

struct FolderRemover {
  fs::path path;
  ~FolderRemover() { fs::remove_all(path); }
};

void write_raw(const fs::path& path, const at::Tensor& tensor) {
  const at::Tensor dense = tensor.contiguous();
  const std::string_view bytes(static_cast<const char*>(dense.data_ptr()), dense.nbytes());
  const Status status = write_file_atomic(path, bytes);
  if (!status.ok()) throw std::runtime_error(status.to_string());
}

at::Tensor read_floats(const fs::path& path) {
  const Result<std::string> bytes = read_file(path);
  if (!bytes.ok()) throw std::runtime_error(bytes.status().to_string());
  const int64_t num = static_cast<int64_t>(bytes.value().size() / sizeof(float));
  return at::from_blob(const_cast<char*>(bytes.value().data()), {num}, c10::kFloat).clone();
}

void write_case(const fs::path& folder, const Case& test, Chain& chain, const Sample& sample) {
  fs::create_directories(folder);
  Json tensors = Json::array();
  for (const TensorSpec& spec : tensors_of(test.model)) {
    tensors.push_back({{"name", spec.name}, {"shape", spec.shape}, {"decays", spec.decays}});
  }
  const Json json = {{"config", to_hugging_face(test.model)},
                     {"tensors", tensors},
                     {"batch", test.batch},
                     {"steps", kSteps},
                     {"learning_rate", kLearningRate},
                     {"weight_decay", kWeightDecay}};
  ASSERT_TRUE(write_file_atomic(folder / "case.json", json.dump()).ok());
  std::vector<at::Tensor> values;
  for (const Parameter& parameter : chain.store().parameters()) {
    values.push_back(parameter.value.flatten());
  }
  write_raw(folder / "initial.f32", at::cat(values));
  write_raw(folder / "tokens.i64", sample.tokens_bt);
  write_raw(folder / "targets.i64", sample.targets_bt);
}

// Ours, AdamW from libtorch. One a chain.
class Optimizer {
 public:
  explicit Optimizer(Chain& chain, const Model& model) {
    const auto specs = tensors_of(model);
    for (const Parameter& parameter : chain.store().parameters()) {
      Group& group = specs[parameter.tensor].decays ? decaying_ : other_;
      group.values.push_back(parameter.value);
      group.gradients.push_back(parameter.gradient);
      group.first.push_back(at::zeros_like(parameter.value));
      group.second.push_back(at::zeros_like(parameter.value));
      group.steps.push_back(at::zeros_like(parameter.value.flatten()[0]));
    }
  }

  void step() {
    double squares = 0;
    for (const Group* group : {&decaying_, &other_}) {
      for (const at::Tensor& g : group->gradients) squares += g.pow(2).sum().item<double>();
    }
    const double factor = std::min(1.0, 1.0 / (std::sqrt(squares) + 1e-6));
    for (Group* group : {&decaying_, &other_}) {
      for (size_t i = 0; i < group->values.size(); ++i) {
        group->gradients[i].mul_(factor);
        group->steps[i].add_(1);
      }
      at::_fused_adamw_(group->values, group->gradients, group->first, group->second, {},
                        group->steps, kLearningRate, 0.9, 0.95,
                        group == &decaying_ ? kWeightDecay : 0.0, 1e-8, false, false);
    }
  }

 private:
  struct Group {
    std::vector<at::Tensor> values, gradients, first, second, steps;
  };
  Group decaying_, other_;
};

void compare_named(const Model& model, const std::vector<at::Tensor>& ours, const at::Tensor& flat,
                   double tolerance, const std::string& what) {
  const auto specs = tensors_of(model);
  int64_t position = 0;
  double worst = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    const int64_t num = specs[i].num_elements();
    const at::Tensor theirs = flat.narrow(0, position, num);
    const double difference = relative_difference(ours[i].flatten(), theirs);
    EXPECT_LT(difference, tolerance) << what << " of " << specs[i].name;
    worst = std::max(worst, difference);
    position += num;
  }
  EXPECT_EQ(position, flat.numel());
  std::ostringstream figure;
  figure << worst;
  testing::Test::RecordProperty("worst_" + what, figure.str());
}

void compare_with_twin(const fs::path& folder, const Case& test, const std::vector<int>& cuts,
                       Recompute recompute) {
  Chain chain(test.model, cuts, recompute);
  const Sample sample = sample_of(test.model, test.batch, test.model.context, 21);
  const double num_tokens = static_cast<double>(sample.tokens_bt.numel());
  if (cuts.empty()) {
    const at::Tensor logits = chain.stage(0).last_logits(sample.tokens_bt).value();
    const double difference =
        relative_difference(logits.flatten(), read_floats(folder / "logits.f32"));
    EXPECT_LT(difference, 1e-5) << "logits";
  }
  const at::Tensor losses = read_floats(folder / "losses.f32");
  Optimizer optimizer(chain, test.model);
  for (int step = 0; step < kSteps; ++step) {
    chain.store().zero_gradients();
    const double loss = chain.forward(0, sample) / num_tokens;
    EXPECT_NEAR(loss / losses[step].item<float>(), 1.0, 1e-5) << "loss of step " << step;
    chain.backward(0);
    if (step == 0) {
      compare_named(test.model, chain.gradients(), read_floats(folder / "gradients.f32"), 1e-5,
                    "gradient");
    }
    optimizer.step();
  }
  EXPECT_NEAR(chain.forward(0, sample) / num_tokens / losses[kSteps].item<float>(), 1.0, 1e-5);
  EXPECT_LT(losses[kSteps].item<float>(), losses[0].item<float>()) << "ten steps learn something";
  std::vector<at::Tensor> weights;
  for (const Parameter& parameter : chain.store().parameters()) weights.push_back(parameter.value);
  compare_named(test.model, weights, read_floats(folder / "weights.f32"), 1e-4, "weights");
}

TEST(SlowTwin, LogitsGradientsAndTenStepsEqualTransformers) {
  if (!fs::exists(kPython)) GTEST_SKIP() << "no " << kPython << ": `make setup` installs it";
  const std::string name = "skarv-twin-" + std::to_string(::getpid());
  const fs::path root = fs::temp_directory_path() / name;
  const FolderRemover remover{root};
  std::string command = std::string(kPython) + " " SKARV_SOURCE_DIR "/tests/model/twin.py";
  for (const Case& test : cases()) {
    Chain chain(test.model, {});
    write_case(root / test.name, test, chain,
               sample_of(test.model, test.batch, test.model.context, 21));
    command += " " + (root / test.name).string();
  }
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  for (const Case& test : cases()) {
    SCOPED_TRACE(test.name);
    compare_with_twin(root / test.name, test, {}, Recompute::kNone);
    compare_with_twin(root / test.name, test, every_layer(test.model), Recompute::kNone);
    compare_with_twin(root / test.name, test, {2}, Recompute::kFull);
  }
}

}  // namespace
}  // namespace skarv
