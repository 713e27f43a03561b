// A run that was stopped in order goes on bit for bit as if it had not been; on another number of
// devices it goes on within float rounding.
#include <signal.h>

#include <cmath>
#include <map>

#include "base/file.h"
#include "base/text.h"
#include "child.h"
#include "system/system_fixture.h"

namespace skarv::testing {
namespace {

constexpr auto kLimit = std::chrono::seconds(90);
constexpr double kLossTolerance = 1e-4;  // relative, every step

// One island of two unequal shares. Nothing is quantized between rounds: there, a difference in the
// last bit could become one of a whole quantum.
class SlowResumeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / cat("skarv_resume_", ::getpid());
    std::filesystem::remove_all(folder_);
    ASSERT_TRUE(make_directories(folder_).ok());
    write("run.toml", cat("[run]\nname = \"resume\"\nseed = 7\nsteps = 240\nglobal_batch = 6\n"
                          "checkpoint_every_rounds = 4\n"
                          "[model]\nhidden = 32\nblocks = 2\nheads = 2\nffn = 64\ncontext = 32\n"
                          "tied_head = true\n"
                          "[data]\nvalidation_samples = 8\nfolder = \"",
                          shared_tokens().string(),
                          "\"\n[optimizer]\nlearning_rate = 3e-3\n"
                          "[exchange]\ninner_steps = 20\noverlap_steps = 2\n"
                          "upload = \"identity\"\ndownload = \"identity\"\n"));
    write("cluster.toml",
          "[[site]]\nname = \"north\"\n[[site.host]]\nname = \"a\"\n"
          "devices = [{chip = \"cpu\", count = 2, memory = \"1 GB\"}]\n");
    ASSERT_EQ(run({"probe", file("run.toml"), "--cluster", file("cluster.toml"), "--out",
                   file("profile.json"), "--quiet"}),
              0);
    ASSERT_EQ(run({"plan", file("run.toml"), "--cluster", file("cluster.toml"), "--profile",
                   file("profile.json"), "--out", file("plan.json")}),
              0);
    auto plan = read_json(folder_ / "plan.json");
    ASSERT_TRUE(plan.ok());
    model_ = (*plan)["model"];
    // Two pipelines with uneven shares; and all of it on one device.
    write("two.json", plan_of({{4, "north/a/0"}, {2, "north/a/1"}}));
    write("one.json", plan_of({{6, "north/a/0"}}));
  }
  void TearDown() override {
    if (!HasFailure()) std::filesystem::remove_all(folder_);
  }

  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  void write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(write_file_atomic(folder_ / name, text).ok());
  }
  std::string plan_of(const std::vector<std::pair<int, std::string>>& pipelines) const {
    Json plan = {{"version", 1}, {"model", model_}, {"islands", Json::array()}};
    Json island = {{"name", "north"}, {"pipelines", Json::array()}};
    for (const auto& [samples, device] : pipelines) {
      const Json stage = {{"layers", {0, 4}}, {"devices", {device}}};
      island["pipelines"].push_back({{"microbatch", 2},
                                     {"samples", samples},
                                     {"schedule", "1f1b"},
                                     {"stages", Json::array({stage})}});
    }
    plan["islands"].push_back(island);
    return plan.dump();
  }
  int run(std::vector<std::string> command) {
    command.insert(command.begin(), SKARV_PROGRAM);
    return run_program(command, folder_ / "log", kLimit).value_or(-1);
  }
  std::vector<std::string> train(const std::string& out, const std::string& plan,
                                 bool resume) const {
    std::vector<std::string> command = {SKARV_PROGRAM,
                                        "train",
                                        file("run.toml"),
                                        "--cluster",
                                        file("cluster.toml"),
                                        "--profile",
                                        file("profile.json"),
                                        "--plan",
                                        file(plan),
                                        "--out",
                                        file(out),
                                        "--plain",
                                        "--quiet"};
    if (resume) command.push_back("--resume");
    return command;
  }
  int train_whole(const std::string& out, const std::string& plan, bool resume = false) {
    return run_program(train(out, plan, resume), folder_ / "log", kLimit).value_or(-1);
  }
  // Starts, and stops in order once `steps` steps are done.
  void train_until(const std::string& out, const std::string& plan, int64_t steps) {
    auto child = Child::start({train(out, plan, false), folder_ / "log", {}, true});
    ASSERT_TRUE(child.ok()) << child.status();
    const Time limit = Clock::real().now() + kLimit;
    while (Clock::real().now() < limit && child->running()) {
      const auto report = read_json(folder_ / out / "north" / "report.json");
      if (report.ok() && report->value("steps", 0) >= steps) break;
      Clock::real().sleep_until(Clock::real().now() + std::chrono::milliseconds(20));
    }
    child->signal(SIGINT);
    ASSERT_TRUE(child->wait(limit));
    ASSERT_EQ(child->ending(), "exited with code 130") << last_lines(folder_ / "log", 5);
  }
  std::string weights(const std::string& out) const {
    return read_file(folder_ / out / "export" / "model.safetensors").value();
  }
  double validation_loss(const std::string& out) const {
    return read_json(folder_ / out / "closing.json").value()["validation_loss"];
  }
  // By steps done.
  std::map<int64_t, double> losses(const std::string& out) const {
    std::map<int64_t, double> losses;
    for (const Json& event : events_of(folder_ / out / "north", "step")) {
      losses[event.at("steps").get<int64_t>()] = event.at("loss").get<double>();
    }
    return losses;
  }

  std::filesystem::path folder_;
  Json model_;
};

TEST_F(SlowResumeTest, TheSameLayoutIsBitEqualAndAnotherIsClose) {
  ASSERT_EQ(train_whole("whole", "two.json"), 0) << last_lines(folder_ / "log", 5);
  train_until("stopped", "two.json", 60);
  std::error_code error;
  std::filesystem::copy(folder_ / "stopped", folder_ / "moved",
                        std::filesystem::copy_options::recursive, error);
  ASSERT_FALSE(error) << error.message();
  const auto num_before = losses("moved").size();
  ASSERT_EQ(train_whole("stopped", "two.json", true), 0) << last_lines(folder_ / "log", 5);
  EXPECT_TRUE(weights("stopped") == weights("whole")) << "not a bit may differ";

  // The plan is not part of the numbers: the state of two devices lands on one.
  ASSERT_EQ(train_whole("moved", "one.json", true), 0) << last_lines(folder_ / "log", 5);
  EXPECT_EQ(read_json(folder_ / "moved" / "north" / "report.json").value()["devices"].size(), 1u);
  const auto expected = losses("whole"), moved = losses("moved");
  ASSERT_EQ(moved.size(), expected.size());
  ASSERT_LT(num_before, expected.size()) << "nothing was left to train on one device";
  double worst = 0;
  for (const auto& [step, loss] : expected) {
    const double apart = std::abs(moved.at(step) / loss - 1);
    EXPECT_LE(apart, kLossTolerance) << "step " << step << ", " << num_before << " before the stop";
    worst = std::max(worst, apart);
  }
  EXPECT_NEAR(validation_loss("moved") / validation_loss("whole"), 1, kLossTolerance);
  std::printf("%zu steps on two devices, then one: worst loss %.2g apart\n", num_before, worst);
}

// Two islands: which samples each trains on, and at which steps it takes merged weights, does not
// hang on time, so the same holds for them.
TEST(SlowResumeOfTwoIslandsTest, IsBitEqual) {
  const RunShape shape{
      .steps = 100, .inner_steps = 10, .detection_seconds = 30, .round_budget_seconds = 100};
  SystemRun whole(shape, "whole");
  whole.start();
  ASSERT_EQ(whole.wait(kLimit), 0) << whole.last_words();

  SystemRun stopped(shape, "stopped");
  stopped.start();
  ASSERT_TRUE(stopped.wait_for([&] { return stopped.steps_done("north") >= 35; }, kLimit));
  stopped.signal(SIGINT);
  ASSERT_EQ(stopped.wait(kLimit), 130) << stopped.last_words();
  stopped.start({"--resume"});
  ASSERT_EQ(stopped.wait(kLimit), 0) << stopped.last_words();

  const auto weights = [](const SystemRun& run) {
    return read_file(run.out() / "export" / "model.safetensors").value();
  };
  EXPECT_TRUE(weights(stopped) == weights(whole)) << "not a bit may differ";

  // What went over the wires before the stop counts, too: three rounds of ten.
  for (const char* island : {"north", "south"}) {
    EXPECT_GT(stopped.report(island).at("wan_sent").get<double>(),
              0.9 * whole.report(island).at("wan_sent").get<double>());
  }

  // A run that is over stays as it is.
  const Json closing = stopped.closing();
  ASSERT_GT(closing.at("step_seconds").get<double>(), 0);
  stopped.start({"--resume"});
  EXPECT_EQ(stopped.wait(kLimit), 0) << stopped.last_words();
  EXPECT_EQ(stopped.closing(), closing);
}

}  // namespace
}  // namespace skarv::testing
