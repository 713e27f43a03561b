#include "spec/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "spec/examples.h"

namespace skarv {
namespace {

using testing::HasSubstr;

TEST(Run, ReadsAFile) {
  const auto read = parse_run(kRunToml, "folder/run.toml");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->name, "demo");
  EXPECT_EQ(read->seed, 3u);
  EXPECT_EQ(read->model.head_dim, 8);
  EXPECT_EQ(read->data.folder, "folder/data");
  EXPECT_EQ(read->optimizer.shape, LearningRateShape::kWsd);
  EXPECT_EQ(read->exchange.round_budget_seconds, 60);
  EXPECT_EQ(read->steps_per_round(), 15);
  EXPECT_EQ(read->tokens_per_step(), 24 * 16);
}

TEST(Run, VocabularyMayBeLeftOutUntilTheDataIsKnown) {
  std::string toml = kRunToml;
  toml.replace(toml.find("vocabulary = 256\n"), 17, "");
  const auto read = parse_run(toml, "run.toml");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->model.vocabulary, 0);
  EXPECT_FALSE(check_model(read->model, "run.toml").ok());
}

TEST(Run, GradientModeSetsWhatItNeeds) {
  std::string toml = kRunToml;
  toml = toml.substr(0, toml.find("[exchange]")) + "[exchange]\nmode = \"gradient\"\n";
  const auto read = parse_run(toml, "run.toml");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->steps_per_round(), 1);
  EXPECT_EQ(read->exchange.overlap_steps, 0);
  EXPECT_EQ(read->exchange.upload, CodecKind::kIdentity);
}

TEST(Run, JsonRoundTripsAndDigestIgnoresPaths) {
  skarv::Run run = example_run();
  run.seed = ~uint64_t{0};
  run.exchange.alpha = 1.0 / 3;
  const auto read = run_from_json(to_json(run), "coordinator");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(to_json(*read), to_json(run));
  EXPECT_EQ(read->seed, run.seed);
  skarv::Run moved = run;
  moved.data.folder = "/elsewhere";
  EXPECT_EQ(digest_of(moved), digest_of(run));
  moved.exchange.momentum = 0.8;
  EXPECT_NE(digest_of(moved), digest_of(run));
}

TEST(Run, ModelComesFromAConfigBesideTheFile) {
  const auto folder = std::filesystem::temp_directory_path() / cat("skarv-run-", getpid());
  ASSERT_TRUE(make_directories(folder).ok());
  Model model = example_run().model;
  model.rms_epsilon = 1e-6;
  ASSERT_TRUE(write_file_atomic(folder / "config.json", to_hugging_face(model).dump()).ok());
  const std::string head = "[run]\nsteps = 60\nglobal_batch = 4\n[model]\n";
  ASSERT_TRUE(
      write_file_atomic(folder / "run.toml", head + "from = \"config.json\"\ncontext = 8\n").ok());
  const auto read = read_run(folder / "run.toml");
  const auto absent = parse_run(head + "from = \"none.json\"\n", "/nonexistent/run.toml");
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(read.ok()) << read.status();
  model.context = 8;
  EXPECT_EQ(read->model, model);
  EXPECT_EQ(absent.status().code(), Code::kNotFound);
  EXPECT_THAT(absent.status().message(), HasSubstr("run.toml:5"));
  EXPECT_THAT(absent.status().origin(), HasSubstr("none.json"));
}

TEST(Run, LearningRateWarmsUpHoldsAndDecays) {
  skarv::Run run = example_run();  // 120 steps, warm-up 10, WSD: the last 24 decay
  EXPECT_DOUBLE_EQ(learning_rate_at(run, 0), 2e-4);
  EXPECT_DOUBLE_EQ(learning_rate_at(run, 9), 2e-3);
  EXPECT_DOUBLE_EQ(learning_rate_at(run, 95), 2e-3);
  EXPECT_DOUBLE_EQ(learning_rate_at(run, 108), 1.1e-3);
  EXPECT_DOUBLE_EQ(learning_rate_at(run, 120), 2e-4);
  run.optimizer.shape = LearningRateShape::kCosine;
  EXPECT_DOUBLE_EQ(learning_rate_at(run, 10), 2e-3);
  EXPECT_DOUBLE_EQ(learning_rate_at(run, 65), 1.1e-3);
  EXPECT_DOUBLE_EQ(learning_rate_at(run, 500), 2e-4);
}

struct BadFile {
  const char* name;
  const char* old_text;  // replaced in the example
  const char* new_text;
  const char* place;
  const char* word;       // of the message
  const char* hint = "";  // a word of the hint
};
std::ostream& operator<<(std::ostream& out, const BadFile& file) { return out << file.name; }

class BadRun : public testing::TestWithParam<BadFile> {};

TEST_P(BadRun, IsRefusedWithItsPlace) {
  const BadFile& bad = GetParam();
  std::string toml = kRunToml;
  const size_t at = toml.find(bad.old_text);
  ASSERT_NE(at, std::string::npos);
  toml.replace(at, std::string(bad.old_text).size(), bad.new_text);
  const Status status = parse_run(toml, "run.toml").status();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_EQ(status.scope(), Scope::kConfig);
  EXPECT_EQ(status.origin(), bad.place);
  EXPECT_THAT(status.message(), HasSubstr(bad.word));
  EXPECT_THAT(status.hint(), HasSubstr(bad.hint));
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadRun,
    testing::Values(
        BadFile{"syntax", "seed = 3", "seed = = 3", "run.toml:3", "TOML"},
        BadFile{"twice", "seed = 3", "seed = 3\nseed = 4", "run.toml:4", "TOML"},
        BadFile{"name", "name = \"demo\"", "name = \"our demo\"", "run.toml:2", "our demo",
                "letters"},
        BadFile{"unknown_table", "[optimizer]", "[optimiser]", "run.toml:21", "optimiser",
                "optimizer"},
        BadFile{"unknown_key", "seed = 3", "sed = 3", "run.toml:3", "run.sed", "seed"},
        BadFile{"unknown_far_key", "seed = 3", "xyzzy = 3", "run.toml:3", "xyzzy", "global_batch"},
        BadFile{"missing_steps", "steps = 120\n", "", "run.toml:1", "run.steps is missing"},
        BadFile{"missing_model_size", "ffn = 48\n", "", "run.toml:8", "model.ffn is missing"},
        BadFile{"text_for_number", "seed = 3", "seed = \"3\"", "run.toml:3", "whole number"},
        BadFile{"negative_seed", "seed = 3", "seed = -3", "run.toml:3", "negative"},
        BadFile{"fraction_for_count", "steps = 120", "steps = 1.5", "run.toml:4", "whole number"},
        BadFile{"zero_steps", "steps = 120", "steps = 0", "run.toml:4", "outside 1"},
        BadFile{"table_for_text", "name = \"demo\"", "name = {a = 1}", "run.toml:2",
                "expects text"},
        BadFile{"date", "seed = 3", "seed = 2020-01-01", "run.toml:3", "found null"},
        BadFile{"precision", "\"fp32\"", "\"fp16\"", "run.toml:6", "none of fp32, bf16", "fp32"},
        BadFile{"kv_heads", "kv_heads = 2", "kv_heads = 3", "run.toml:13", "does not divide"},
        BadFile{"heads", "heads = 4\n", "heads = 5\n", "run.toml:12", "does not divide hidden"},
        BadFile{"odd_head_dim", "ffn = 48", "ffn = 48\nhead_dim = 7", "run.toml:15", "odd", "even"},
        BadFile{"shape", "\"wsd\"", "\"wds\"", "run.toml:24", "wds", "wsd"},
        BadFile{"warmup", "warmup_steps = 10", "warmup_steps = 121", "run.toml:23", "not between",
                "shorten"},
        BadFile{"rate_not_finite", "2e-3", "nan", "run.toml:22", "learning_rate"},
        BadFile{"alpha", "fragments = 2", "fragments = 2\nalpha = 1.5", "run.toml:30",
                "outside 0 to 1"},
        BadFile{"divisible", "inner_steps = 30", "inner_steps = 31", "run.toml:28",
                "no multiple of fragments", "30"},
        BadFile{"overlap", "overlap_steps = 4", "overlap_steps = 15", "run.toml:30",
                "does not fit into a round of 15", "14"},
        BadFile{"fragments", "fragments = 2", "fragments = 5", "run.toml:29", "4 blocks",
                "at most 4"},
        BadFile{"long_round", "inner_steps = 30", "inner_steps = 400", "run.toml:28",
                "the run has 120"},
        BadFile{"unit", "\"5 s\"", "\"5 sec\"", "run.toml:31", "unknown unit", "ms"},
        BadFile{"no_unit", "\"5 s\"", "\"5\"", "run.toml:31", "no unit"},
        BadFile{"budget", "\"1 min\"", "\"14 s\"", "run.toml:32", "is not three times detection"},
        BadFile{"negative_time", "\"1 min\"", "-1", "run.toml:32", "negative"},
        BadFile{"exact_fragments", "\"local\"", "\"gradient\"", "run.toml:29", "one fragment",
                "fragments = 1"},
        BadFile{"exact_overlap", "mode = \"local\"\ninner_steps = 30\nfragments = 2",
                "mode = \"gradient\"", "run.toml:28", "overlap", "overlap_steps = 0"},
        BadFile{"exact_codec",
                "mode = \"local\"\ninner_steps = 30\nfragments = 2\noverlap_steps = 4",
                "mode = \"gradient\"\nupload = \"int4\"", "run.toml:28", "compressed", "identity"},
        BadFile{"exact_contributions",
                "mode = \"local\"\ninner_steps = 30\nfragments = 2\noverlap_steps = 4",
                "mode = \"gradient\"\ncontributions = 2", "run.toml:28", "every island", "0"},
        BadFile{"mode", "\"local\"", "\"global\"", "run.toml:27", "none of local, gradient",
                "local"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace skarv
