#include "spec/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <set>

#include "base/file.h"
#include "base/text.h"

namespace skarv {
namespace {

using testing::HasSubstr;

Model small_model() {
  return {.vocabulary = 100,
          .hidden = 16,
          .num_blocks = 3,
          .num_heads = 4,
          .num_kv_heads = 2,
          .head_dim = 4,
          .ffn = 24,
          .context = 32};
}

Model llama_3_8b() {
  return {.vocabulary = 128256,
          .hidden = 4096,
          .num_blocks = 32,
          .num_heads = 32,
          .num_kv_heads = 8,
          .head_dim = 128,
          .ffn = 14336,
          .context = 8192,
          .rope_theta = 500000};
}

class TemporaryFile {
 public:
  TemporaryFile(const std::string& name, const std::string& content)
      : path_(std::filesystem::temp_directory_path() / cat("skarv-", getpid(), "-", name)) {
    EXPECT_TRUE(write_file_atomic(path_, content).ok());
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST(Model, ParameterCountsOfKnownModels) {
  EXPECT_EQ(num_parameters(llama_3_8b()), 8'030'261'248);
  Model llama_2_7b = llama_3_8b();
  llama_2_7b.vocabulary = 32000;
  llama_2_7b.num_kv_heads = 32;
  llama_2_7b.ffn = 11008;
  EXPECT_EQ(num_parameters(llama_2_7b), 6'738'415'616);
  Model llama_3_2_1b = llama_3_8b();
  llama_3_2_1b.hidden = 2048;
  llama_3_2_1b.num_blocks = 16;
  llama_3_2_1b.head_dim = 64;
  llama_3_2_1b.ffn = 8192;
  llama_3_2_1b.tied_head = true;
  EXPECT_EQ(num_parameters(llama_3_2_1b), 1'235'814'400);
}

TEST(Model, TensorsAreInOrderOfLayersWithHuggingFaceNames) {
  const std::vector<TensorSpec> tensors = tensors_of(small_model());
  ASSERT_EQ(tensors.size(), 1 + 3 * 9 + 2);
  EXPECT_EQ(tensors[0].name, "model.embed_tokens.weight");
  EXPECT_EQ(tensors[1].name, "model.layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(tensors[2].shape, (std::vector<int64_t>{8, 16}));
  EXPECT_EQ(tensors[9].name, "model.layers.0.post_attention_layernorm.weight");
  EXPECT_FALSE(tensors[9].decays);
  EXPECT_EQ(tensors[28].name, "model.norm.weight");
  EXPECT_EQ(tensors[29].name, "lm_head.weight");
  EXPECT_EQ(tensors[29].layer, 4);
  for (size_t i = 1; i < tensors.size(); ++i) EXPECT_LE(tensors[i - 1].layer, tensors[i].layer);
}

TEST(Model, TiedHeadUsesTheEmbedding) {
  Model model = small_model();
  model.tied_head = true;
  const std::vector<TensorSpec> tensors = tensors_of(model);
  EXPECT_EQ(tensors.back().name, "model.norm.weight");
  EXPECT_TRUE(tensors[0].used_by(0));
  EXPECT_TRUE(tensors[0].used_by(model.head_layer()));
  EXPECT_FALSE(tensors[0].used_by(1));
}

// The digest of the values of a whole small model: any change of it changes every run ever started.
TEST(Model, InitialValuesAreGolden) {
  Hasher hasher;
  for (const TensorSpec& tensor : tensors_of(small_model())) {
    std::vector<float> values(tensor.num_elements());
    initial_values(tensor, 42, 0, values);
    hasher.add(std::as_bytes(std::span(values)));
  }
  EXPECT_EQ(hasher.finish().hex(),
            "98e9312177afde6800777873c629f22c4ab89bd1921143832763344d36549cbc");
}

TEST(Model, InitialValuesDoNotDependOnTheCut) {
  const TensorSpec tensor = tensors_of(small_model())[5];
  std::vector<float> whole(tensor.num_elements()), pieces(tensor.num_elements());
  initial_values(tensor, 7, 0, whole);
  for (size_t begin = 0; begin < pieces.size(); begin += 37) {
    const size_t size = std::min<size_t>(37, pieces.size() - begin);
    initial_values(tensor, 7, begin, std::span(pieces).subspan(begin, size));
  }
  EXPECT_EQ(whole, pieces);
  std::vector<float> other(whole.size());
  initial_values(tensor, 8, 0, other);
  EXPECT_NE(whole, other);
}

TEST(Model, InitialValuesHaveTheDeviationAndNormsAreOnes) {
  Model model = small_model();
  model.vocabulary = 20000;
  const std::vector<TensorSpec> tensors = tensors_of(model);
  std::vector<float> values(tensors[0].num_elements());
  initial_values(tensors[0], 1, 0, values);
  double sum = 0, squares = 0;
  for (float value : values) {
    sum += value;
    squares += double{value} * value;
  }
  const double count = static_cast<double>(values.size());
  EXPECT_NEAR(sum / count, 0, 0.0002);
  EXPECT_NEAR(std::sqrt(squares / count), 0.02, 0.0002);
  std::vector<float> norm(16);
  initial_values(tensors[8], 1, 0, norm);
  EXPECT_EQ(norm, std::vector<float>(16, 1.0f));
}

TEST(Model, ForwardFlopsAreTwiceTheMatricesAndHalfTheScores) {
  const Model model = llama_3_8b();
  double total = 0;
  for (int layer = 0; layer < model.num_layers(); ++layer) {
    total += forward_flops_per_token(model, layer);
  }
  const double matrices = 8'030'261'248.0 - 128256.0 * 4096 - 65 * 4096;
  EXPECT_DOUBLE_EQ(total, 2 * matrices + 32 * 2.0 * 8192 * 4096);
}

TEST(Model, JsonAndDigestRoundTrip) {
  const Model model = llama_3_8b();
  const Result<Model> read = model_from_json(to_json(model), "m.json");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, model);
  EXPECT_EQ(digest_of(*read), digest_of(model));
  Model other = model;
  other.rms_epsilon = 1e-6;
  EXPECT_NE(digest_of(other), digest_of(model));
}

TEST(Model, HuggingFaceConfigRoundTrips) {
  Model model = llama_3_8b();
  model.tied_head = true;
  const TemporaryFile file("config.json", to_hugging_face(model).dump());
  const Result<Model> read = model_from_hugging_face(file.path());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, model);
}

TEST(Model, HuggingFaceDefaultsAreThoseOfLlamaConfig) {
  const TemporaryFile file("defaults.json", R"({"vocab_size": 32000, "hidden_size": 4096,
    "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 11008,
    "max_position_embeddings": 2048, "head_dim": null, "rope_scaling": null, "some_new_key": 1})");
  const Result<Model> read = model_from_hugging_face(file.path());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->num_kv_heads, 32);
  EXPECT_EQ(read->head_dim, 128);
  EXPECT_EQ(read->rms_epsilon, 1e-6);
  EXPECT_EQ(read->rope_theta, 10000);
  EXPECT_FALSE(read->tied_head);
}

TEST(Model, HuggingFaceSettingsThatChangeTheMathematicsAreRefused) {
  const std::vector<std::pair<Json, std::string>> cases = {
      {{{"model_type", "gpt2"}}, "gpt2"},
      {{{"model_type", 3}}, "expects text"},
      {{{"attention_bias", true}}, "attention_bias"},
      {{{"hidden_act", "gelu"}}, "gelu"},
      {{{"sliding_window", 4096}}, "sliding"},
      {{{"rope_scaling", {{"rope_type", "llama3"}}}}, "llama3"},
      {{{"hidden_size", "big"}}, "whole number"},
      {{{"num_key_value_heads", 5}}, "kv_heads"},
  };
  for (const auto& [change, word] : cases) {
    Json config = to_hugging_face(llama_3_8b());
    config.update(change);
    const TemporaryFile file("refused.json", config.dump());
    const Status status = model_from_hugging_face(file.path()).status();
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << change;
    EXPECT_THAT(status.message(), HasSubstr(word));
    EXPECT_THAT(status.origin(), HasSubstr("refused.json"));
  }
  EXPECT_EQ(model_from_hugging_face("/nonexistent/config.json").status().code(), Code::kNotFound);
}

TEST(Model, SizesThatDoNotFitAreRefused) {
  const auto refused = [](auto change) {
    Model model = small_model();
    change(model);
    const Status status = check_model(model, "run.toml");
    EXPECT_EQ(status.code(), Code::kInvalidArgument);
    EXPECT_FALSE(status.hint().empty());
    return status.origin();
  };
  EXPECT_TRUE(check_model(small_model(), "run.toml").ok());
  EXPECT_EQ(refused([](Model& m) { m.vocabulary = 0; }), "run.toml: vocabulary");
  EXPECT_EQ(refused([](Model& m) { m.num_kv_heads = 3; }), "run.toml: kv_heads");
  EXPECT_EQ(refused([](Model& m) { m.head_dim = 5; }), "run.toml: head_dim");
  EXPECT_EQ(refused([](Model& m) { m.hidden = int64_t{1} << 31; }), "run.toml: hidden");
  EXPECT_EQ(refused([](Model& m) { m.rms_epsilon = 0; }), "run.toml: rms_epsilon");
  EXPECT_EQ(refused([](Model& m) { m.rope_theta = NAN; }), "run.toml: rope_theta");
  EXPECT_EQ(refused([](Model& m) { m.num_blocks = 100001; }), "run.toml: blocks");
  EXPECT_EQ(refused([](Model& m) { m.hidden = m.ffn = m.vocabulary = (1LL << 31) - 2; }),
            "run.toml: hidden");
}

}  // namespace
}  // namespace skarv
