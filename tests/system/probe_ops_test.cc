// skarv-worker probe --ops: where a step's time goes, and how little of it a plug-in's fallback
// does.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/json.h"
#include "base/text.h"
#include "spec/run.h"
#include "system/site_run.h"
#include "system/system_fixture.h"

namespace skarv::testing {
namespace {

constexpr double kMostFallback = 30;  // per cent of a step

// The demo's model with fewer blocks.
Run run_of_some_size() {
  Run run;
  run.global_batch = 8;
  run.steps = 100;
  run.model.vocabulary = 4096;
  run.model.hidden = 192;
  run.model.num_blocks = 2;
  run.model.num_heads = 6;
  run.model.num_kv_heads = 3;
  run.model.head_dim = 32;
  run.model.ffn = 512;
  run.model.context = 128;
  run.model.tied_head = true;
  return run;
}

TEST(ProbeOps, PrintsTheOpsOfAStepAndTheFallbackShare) {
  const auto path =
      std::filesystem::temp_directory_path() / cat("skarv-probe-", ::getpid(), ".json");
  std::ofstream(path) << to_json(run_of_some_size()).dump();
  const auto worker =
      std::filesystem::path(SKARV_PROGRAM).parent_path().parent_path() / "worker" / "skarv-worker";
  const std::string text =
      output_of({worker.string(), "probe", "--run", path.string(), "--device", "north/a/0",
                 "--chip", "toy", "--plugin", SKARV_TOY_PLUGIN, "--microbatches", "4", "--ops"});
  std::filesystem::remove(path);
  EXPECT_NE(text.find("aten::mm"), std::string::npos) << text;
  EXPECT_NE(text.find("_fused_adamw_"), std::string::npos) << text;
  const std::string_view words = "the device's fallback does ";
  const size_t found = text.find(words);
  ASSERT_NE(found, std::string::npos) << text;
  const double share = std::atof(text.c_str() + found + words.size());
  EXPECT_LT(share, kMostFallback) << text;
  std::printf("fallback share %.1f %%\n", share);
}

}  // namespace
}  // namespace skarv::testing
