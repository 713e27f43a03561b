// What a run exports is the model that it trained, in the eyes of another implementation: the
// transformers package of the environment loads it, finds the same loss and the same logits on the
// held-out samples and continues a text with the same tokens.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/text.h"
#include "data/sample_index.h"
#include "data/token_file.h"
#include "system/site_run.h"
#include "system/system_fixture.h"

namespace skarv::testing {
namespace {

const char* const kPython = SKARV_SOURCE_DIR "/.venv/bin/python";
constexpr int kContext = 32, kSamples = 16, kGenerated = 24;
constexpr double kLossTolerance = 1e-5;    // relative
constexpr double kLogitsTolerance = 1e-5;  // of their norm
const char* const kPrompt = "const std::";

Json held_out_samples() {
  auto tokens = TokenFile::open(shared_tokens() / "validation");
  EXPECT_TRUE(tokens.ok());
  auto index = SampleIndex::create(*tokens, /*seed=*/0, kContext);
  EXPECT_TRUE(index.ok());
  Json samples = Json::array();
  for (uint64_t i = 0; i < kSamples; ++i) {
    std::vector<int32_t> ids(kContext + 1);
    index->sample(i, ids);
    samples.push_back(ids);
  }
  return samples;
}

std::vector<float> floats_of(const std::filesystem::path& path) {
  const auto bytes = read_file(path);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  if (!bytes.ok()) return {};
  std::vector<float> values(bytes->size() / sizeof(float));
  std::memcpy(values.data(), bytes->data(), values.size() * sizeof(float));
  return values;
}

TEST(SlowTransformers, FindsTheSameLossLogitsAndContinuation) {
  if (!std::filesystem::exists(kPython)) GTEST_SKIP() << "no .venv";
  SiteRun run("transformers",
              {.samples = {8},
               .steps = 150,
               .exchange = "mode = \"local\"\ninner_steps = 50\noverlap_steps = 1"});
  ASSERT_NO_FATAL_FAILURE(run.train());
  const auto exported = (run.out().parent_path() / "exported").string();
  output_of({SKARV_PROGRAM, "export", run.out().string(), "--out", exported});

  const auto request = run.out() / "request.json";
  const auto their_logits = run.out() / "their_logits", our_logits = run.out() / "our_logits";
  std::ofstream(request) << Json{
      {"samples", held_out_samples()},
      {"logits", their_logits.string()},
      {"prompt", kPrompt},
      {"tokens", kGenerated}}.dump();
  const std::string said = output_of(
      {kPython, SKARV_SOURCE_DIR "/tests/system/read_export.py", exported, request.string()});
  const size_t begin = said.find("RESULT ");
  ASSERT_NE(begin, std::string::npos) << said;
  const Json theirs = Json::parse(said.substr(begin + 7), nullptr, false);
  ASSERT_TRUE(theirs.is_object()) << said;

  const auto worker =
      std::filesystem::path(SKARV_PROGRAM).parent_path().parent_path() / "worker" / "skarv-worker";
  const Json ours =
      Json::parse(output_of({worker.string(), "evaluate", "--checkpoint", exported, "--data",
                             shared_tokens().string(), "--samples", cat(kSamples), "--logits",
                             our_logits.string(), "--json"}),
                  nullptr, false);
  ASSERT_TRUE(ours.is_object());
  const double apart =
      std::abs(ours.at("loss").get<double>() / theirs.at("loss").get<double>() - 1);
  EXPECT_LE(apart, kLossTolerance);
  const std::vector<float> wanted = floats_of(their_logits), logits = floats_of(our_logits);
  ASSERT_GE(wanted.size(), static_cast<size_t>(kSamples));
  ASSERT_EQ(logits.size(), wanted.size());
  const double logits_apart = distance(wanted, logits);
  EXPECT_LE(logits_apart, kLogitsTolerance);
  std::printf("loss %.6f, transformers %.2g apart, logits %.2g\n", ours.at("loss").get<double>(),
              apart, logits_apart);

  const Json text =
      Json::parse(output_of({SKARV_PROGRAM, "generate", exported, "--prompt", kPrompt, "--tokens",
                             cat(kGenerated), "--temperature", "0", "--json"}),
                  nullptr, false);
  ASSERT_TRUE(text.is_object());
  EXPECT_EQ(text.at("text"), theirs.at("text"));
}

}  // namespace
}  // namespace skarv::testing
