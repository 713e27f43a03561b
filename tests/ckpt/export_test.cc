#include "ckpt/export.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "ckpt/checkpoint_reader.h"
#include "support/small_model.h"
#include "support/temporary_folder.h"

namespace skarv {
namespace {

namespace fs = std::filesystem;

Model small_model(bool tied) {
  Model model = skarv::small_model();
  model.tied_head = tied;
  return model;
}

TensorSource initial(const Model& model) {
  return [model](const std::string& name, int64_t begin, std::span<float> out) {
    for (const TensorSpec& tensor : tensors_of(model)) {
      if (tensor.name == name) initial_values(tensor, 5, begin, out);
    }
    return Status();
  };
}

// A byte-level tokenizer of 64 letters, the last of which ends a text.
void write_tokenizer(const fs::path& path) {
  Json vocabulary = Json::object();
  for (int i = 0; i < 63; ++i) vocabulary[std::string(1, static_cast<char>(33 + i))] = i;
  const Json end = {{"id", 63},        {"content", "<|end|>"}, {"single_word", false},
                    {"lstrip", false}, {"rstrip", false},      {"normalized", false},
                    {"special", true}};
  const Json tokenizer = {{"version", "1.0"},
                          {"truncation", nullptr},
                          {"padding", nullptr},
                          {"added_tokens", Json::array({end})},
                          {"normalizer", nullptr},
                          {"pre_tokenizer",
                           {{"type", "ByteLevel"},
                            {"add_prefix_space", false},
                            {"trim_offsets", true},
                            {"use_regex", true}}},
                          {"post_processor", nullptr},
                          {"decoder",
                           {{"type", "ByteLevel"},
                            {"add_prefix_space", false},
                            {"trim_offsets", true},
                            {"use_regex", true}}},
                          {"model",
                           {{"type", "BPE"},
                            {"dropout", nullptr},
                            {"unk_token", nullptr},
                            {"continuing_subword_prefix", nullptr},
                            {"end_of_word_suffix", nullptr},
                            {"fuse_unk", false},
                            {"byte_fallback", false},
                            {"vocab", vocabulary},
                            {"merges", Json::array()}}}};
  std::ofstream(path) << tokenizer.dump();
}

class ExportTest : public testing::Test {
 protected:
  TemporaryFolder folder_;
  const fs::path tokenizer_ = folder_ / "tokenizer.json";
  void SetUp() override { write_tokenizer(tokenizer_); }
};

TEST_F(ExportTest, IsReadBackAsACheckpoint) {
  const Model model = small_model(false);
  const Status status = export_hugging_face(model, initial(model), folder_ / "out",
                                            {DataType::kFloat32, tokenizer_, "<|end|>"});
  ASSERT_TRUE(status.ok()) << status;
  const auto reader = CheckpointReader::open_hugging_face(folder_ / "out");
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_TRUE(reader->check_model(kWeights, model).ok());
  for (const TensorSpec& tensor : tensors_of(model)) {
    std::vector<float> expected(static_cast<size_t>(tensor.num_elements())), actual(expected);
    initial_values(tensor, 5, 0, expected);
    ASSERT_TRUE(reader->read(tensor.name, 0, actual).ok());
    ASSERT_EQ(actual, expected) << tensor.name;
  }
  const auto again = model_from_hugging_face(folder_ / "out" / "config.json");
  ASSERT_TRUE(again.ok()) << again.status();
  Model wanted = model;
  wanted.context = again->context;
  EXPECT_EQ(*again, wanted);
  Model other = model;
  other.ffn = 48;
  const Status wrong = reader->check_model(kWeights, other);
  EXPECT_EQ(wrong.code(), Code::kInvalidArgument);
  EXPECT_NE(wrong.message().find("[32, 16]"), std::string::npos) << wrong;
  EXPECT_NE(wrong.message().find("[48, 16]"), std::string::npos) << wrong;
}

TEST_F(ExportTest, NothingIsLeftOfAFailure) {
  const Model model = small_model(false);
  Status status = export_hugging_face(model, initial(model), folder_ / "out",
                                      {DataType::kFloat32, tokenizer_, "<eos>"});
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_NE(status.message().find("<eos>"), std::string::npos);
  status = export_hugging_face(model, initial(model), folder_ / "out",
                               {DataType::kFloat32, folder_ / "none.json", ""});
  EXPECT_EQ(status.code(), Code::kNotFound);
  {
    FullDisk disk(8000);
    status = export_hugging_face(model, initial(model), folder_ / "out", {});
  }
  EXPECT_EQ(status.code(), Code::kResourceExhausted) << status;
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1);
  ASSERT_TRUE(export_hugging_face(model, initial(model), folder_ / "out", {}).ok());
  EXPECT_EQ(export_hugging_face(model, initial(model), folder_ / "out", {}).code(),
            Code::kAlreadyExists);
}

// The real thing: transformers loads folder and tokenizer, every parameter is found, none is new.
TEST(SlowExport, TransformersLoadsIt) {
  const std::string python = SKARV_SOURCE_DIR "/.venv/bin/python";
  if (!fs::exists(python) ||
      std::system((python + " -c 'import transformers, torch' > /dev/null 2>&1").c_str()) != 0) {
    GTEST_SKIP() << "no transformers in " << python;
  }
  const TemporaryFolder folder;
  write_tokenizer(folder / "tokenizer.json");
  std::ofstream(folder / "load.py") << R"(
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = sys.argv[1]
model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
assert type(model).__name__ == "LlamaForCausalLM", type(model)
tokenizer = AutoTokenizer.from_pretrained(folder)
ids = tokenizer("ABC", return_tensors="pt").input_ids
assert ids.tolist() == [[32, 33, 34]], ids
assert tokenizer.eos_token_id == 63 and model.generation_config.eos_token_id == 63
assert tokenizer.decode(ids[0]) == "ABC"
logits = model(ids).logits
assert logits.shape == (1, 3, 64) and torch.isfinite(logits).all()
model.generate(ids, max_new_tokens=3, do_sample=False)
weight = model.state_dict()["model.layers.1.mlp.gate_proj.weight"].float()
print("first", weight[0, 0].item())
)";
  for (const bool tied : {false, true}) {
    for (const DataType type : {DataType::kFloat32, DataType::kBfloat16}) {
      const Model model = small_model(tied);
      const fs::path out = folder / cat("out", tied, name_of(type));
      ASSERT_TRUE(export_hugging_face(model, initial(model), out,
                                      {type, folder / "tokenizer.json", "<|end|>"})
                      .ok());
      const std::string log = (folder / "log").string();
      const std::string command = "OMP_NUM_THREADS=1 " + python + " " +
                                  (folder / "load.py").string() + " " + out.string() + " > " + log +
                                  " 2>&1";
      EXPECT_EQ(std::system(command.c_str()), 0) << *read_file(log);
      float first = 0;
      for (const TensorSpec& tensor : tensors_of(model)) {
        if (tensor.name == "model.layers.1.mlp.gate_proj.weight") {
          initial_values(tensor, 5, 0, std::span(&first, 1));
        }
      }
      const std::string text = *read_file(log);
      const size_t at = text.find("first ");
      ASSERT_NE(at, std::string::npos) << text;
      EXPECT_NEAR(std::stof(text.substr(at + 6)), first, std::abs(first) * 0.004);
    }
  }
}

}  // namespace
}  // namespace skarv
