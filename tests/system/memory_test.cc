// What a plan says that its devices will hold at most, against the allocators of the workers that
// ran it: measured layers of a model of 6 blocks, three devices of one host.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <fstream>

#include "base/text.h"
#include "data/prepare.h"
#include "spec/run.h"
#include "system/system_fixture.h"

namespace skarv::testing {
namespace {

constexpr int kBlocks = 6, kLayers = kBlocks + 2;
constexpr double kTolerance = 0.05;
constexpr auto kLimit = std::chrono::seconds(60);

Json stage(int first, int last, int device, bool again = false) {
  return {{"layers", {first, last}},
          {"devices", {cat("n/a/", device)}},
          {"tensor_parallel", 1},
          {"recompute", again ? "full" : "none"}};
}

Json pipeline(int microbatch, int samples, const char* schedule, Json stages) {
  return {{"microbatch", microbatch},
          {"samples", samples},
          {"schedule", schedule},
          {"stages", std::move(stages)}};
}

std::string run_file(const std::string& precision) {
  return cat("[run]\nname = \"memory\"\nseed = 7\nsteps = 2\nglobal_batch = 12\nprecision = \"",
             precision, "\"\n[model]\nhidden = 128\nblocks = ", kBlocks,
             "\nheads = 4\nkv_heads = 2\nffn = 344\ncontext = 128\n[data]\nfolder = \"",
             shared_tokens().string(),
             "\"\nvalidation_samples = 4\n[optimizer]\nlearning_rate = 1e-3\nwarmup_steps = 0\n"
             "[exchange]\nmode = \"local\"\ninner_steps = 2\noverlap_steps = 0\n");
}

void expect_predicted(const std::string& precision, const Json& pipelines) {
  SCOPED_TRACE(precision);
  const std::filesystem::path folder = fresh_folder("memory-" + precision);
  const auto path = [&](const char* name) { return (folder / name).string(); };
  std::ofstream(path("run.toml")) << run_file(precision);
  std::ofstream(path("cluster.toml"))
      << "[[site]]\nname = \"n\"\n[[site.host]]\nname = \"a\"\nmemory = \"4 GB\"\n"
         "devices = [{chip = \"cpu\", memory = \"2 GB\", count = 3}]\n";
  Run run = *read_run(path("run.toml"));
  run.model.vocabulary = load_data(run.data.folder)->vocabulary_size;
  const Json island = {{"name", "n"}, {"pipelines", pipelines}};
  std::ofstream(path("plan.json")) << Json{
      {"version", 1},
      {"model", digest_of(run.model).hex()},
      {"islands", Json::array({island})}}.dump(1);
  const std::vector<std::string> inputs = {path("run.toml"), "--cluster", path("cluster.toml"),
                                           "--profile", path("profile.json")};
  ASSERT_EQ(
      run_program({SKARV_PROGRAM, "probe", inputs[0], inputs[1], inputs[2], "--out", inputs[4]},
                  path("probe.log"), kLimit),
      0);
  std::vector<std::string> train = {SKARV_PROGRAM, "train"};
  train.insert(train.end(), inputs.begin(), inputs.end());
  train.insert(train.end(), {"--plan", path("plan.json"), "--out", path("out"), "--plain"});
  ASSERT_EQ(run_program(train, path("train.log"), kLimit), 0);
  const Json closing = *read_json(path("out/closing.json"));
  const Json& devices = closing.at("islands").at(0).at("devices");
  ASSERT_EQ(devices.size(), 3u);
  for (const Json& device : devices) {
    const auto peak = device.at("peak_bytes").get<double>();
    const auto predicted = device.at("predicted_peak_bytes").get<double>();
    EXPECT_LE(std::abs(predicted / peak - 1), kTolerance) << device.dump();
    std::printf("%s %s: predicted %.1f of %.1f MB\n", precision.c_str(),
                device.at("device").get<std::string>().c_str(), predicted * 1e-6, peak * 1e-6);
  }
  std::filesystem::remove_all(folder);
}

TEST(SlowMemory, WithRecomputationAndSplitBackwardsInBf16) {
  expect_predicted("bf16",
                   {pipeline(2, 8, "zero-bubble", {stage(0, 4, 0, true), stage(4, kLayers, 1)}),
                    pipeline(2, 4, "1f1b", Json::array({stage(0, kLayers, 2)}))});
}

TEST(EnduranceMemory, WithTwoStagesADeviceInFp32) {
  expect_predicted(
      "fp32", {pipeline(2, 8, "1f1b",
                        {stage(0, 2, 0), stage(2, 4, 1), stage(4, 6, 0), stage(6, kLayers, 1)}),
               pipeline(1, 4, "gpipe", Json::array({stage(0, kLayers, 2)}))});
}

}  // namespace
}  // namespace skarv::testing
