#include "system/site_run.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "ckpt/checkpoint_reader.h"
#include "data/prepare.h"
#include "spec/run.h"
#include "spec/slab.h"
#include "system/system_fixture.h"

namespace skarv::testing {

namespace {

constexpr auto kTrainLimit = std::chrono::seconds(90);
constexpr auto kOutputLimit = std::chrono::seconds(120);

int sum(const std::vector<int>& values) {
  int total = 0;
  for (int value : values) total += value;
  return total;
}

std::string run_file(const SiteRunShape& shape) {
  return cat("[run]\nname = \"sites\"\nseed = 7\nsteps = ", shape.steps,
             "\nglobal_batch = ", sum(shape.samples),
             "\n[model]\nhidden = 32\nblocks = 2\nheads = 2\nkv_heads = 1\nffn = 64\ncontext = 32\n"
             "tied_head = true\n[data]\nfolder = \"",
             shared_tokens().string(),
             "\"\nvalidation_samples = 16\n[optimizer]\nlearning_rate = ", shape.learning_rate,
             "\nwarmup_steps = ", shape.steps > 10 ? 10 : 0,
             "\n[exchange]\nupload = \"identity\"\ndownload = \"identity\"\n", shape.exchange,
             "\n");
}

Json profile_file(const std::vector<std::string>& sites) {
  Json layers = Json::array(), devices = Json::array();
  for (const char* kind : {"embedding", "block", "head"}) {
    for (int microbatch : {1, 2, 4, 8}) {
      layers.push_back({{"chip", "cpu"},
                        {"kind", kind},
                        {"microbatch", microbatch},
                        {"tensor_parallel", 1},
                        {"forward", 1e-4 * microbatch},
                        {"backward_input", 1e-4 * microbatch},
                        {"backward_weight", 1e-4 * microbatch},
                        {"update", 1e-5},
                        {"activation_bytes", 1e5 * microbatch}});
    }
  }
  for (const std::string& site : sites) {
    devices.push_back(
        {{"device", site + "/a/0"}, {"chip", "cpu"}, {"usable_bytes", 1e9}, {"base_bytes", 1e8}});
  }
  return {{"estimated", false}, {"layers", layers}, {"devices", devices}};
}

Json plan_file(const Run& run, const std::vector<std::string>& sites,
               const std::vector<int>& samples) {
  Json islands = Json::array();
  for (size_t i = 0; i < sites.size(); ++i) {
    const Json stage = {{"layers", {0, run.model.num_layers()}},
                        {"devices", {sites[i] + "/a/0"}},
                        {"tensor_parallel", 1},
                        {"recompute", "none"}};
    islands.push_back({{"name", sites[i]},
                       {"pipelines", Json::array({{{"microbatch", samples[i]},
                                                   {"samples", samples[i]},
                                                   {"schedule", "1f1b"},
                                                   {"stages", Json::array({stage})}}})}});
  }
  return {{"version", 1}, {"model", digest_of(run.model).hex()}, {"islands", islands}};
}

std::string cluster_file(const std::vector<std::string>& sites) {
  std::string text;
  for (const std::string& site : sites) {
    text += cat("[[site]]\nname = \"", site,
                "\"\n[[site.host]]\nname = \"a\"\nmemory = \"2 GB\"\n"
                "devices = [{chip = \"cpu\", memory = \"1 GB\"}]\n");
  }
  if (sites.size() < 2) return text;
  return text +
         "[[link]]\nfrom = \"north\"\nto = \"south\"\nbandwidth = \"1 Gbit/s\"\n"
         "round_trip = \"1 ms\"\n";
}

}  // namespace

SiteRun::SiteRun(const std::string& name, const SiteRunShape& shape)
    : folder_(fresh_folder("sites-" + name)), sites_{"north", "south"} {
  sites_.resize(shape.samples.size());
  std::ofstream(folder_ / "run.toml") << run_file(shape);
  std::ofstream(folder_ / "cluster.toml") << cluster_file(sites_);
  std::ofstream(folder_ / "profile.json") << profile_file(sites_).dump(1);
  Run run = *read_run(folder_ / "run.toml");
  run.model.vocabulary = load_data(run.data.folder)->vocabulary_size;
  std::ofstream(folder_ / "plan.json") << plan_file(run, sites_, shape.samples).dump(1);
}

SiteRun::~SiteRun() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void SiteRun::train(const std::vector<std::string>& flags) {
  std::vector<std::string> command = {SKARV_PROGRAM,
                                      "train",
                                      (folder_ / "run.toml").string(),
                                      "--cluster",
                                      (folder_ / "cluster.toml").string(),
                                      "--profile",
                                      (folder_ / "profile.json").string(),
                                      "--plan",
                                      (folder_ / "plan.json").string(),
                                      "--out",
                                      out().string(),
                                      "--plain",
                                      "--quiet"};
  command.insert(command.end(), flags.begin(), flags.end());
  const auto code = run_program(command, folder_ / "train.log", kTrainLimit);
  ASSERT_TRUE(code.has_value()) << "skarv train did not end\n" << said();
  ASSERT_EQ(*code, 0) << said();
}

std::string SiteRun::said() const {
  const auto text = read_file(folder_ / "train.log");
  return text.ok() ? *text : "";
}

std::vector<double> SiteRun::losses() const {
  std::map<int64_t, std::pair<double, double>> sums;  // of loss and tokens, by step
  for (const std::string& site : sites_) {
    for (const Json& event : events_of(out() / site, "step")) {
      auto& [loss, tokens] = sums[event.at("steps").get<int64_t>()];
      const double count = event.at("tokens").get<double>();
      loss += event.at("loss").get<double>() * count;
      tokens += count;
    }
  }
  std::vector<double> means;
  for (const auto& [step, both] : sums) means.push_back(both.first / both.second);
  return means;
}

std::vector<float> SiteRun::checkpointed(const std::string& site,
                                         const std::string& section) const {
  std::vector<float> values;
  std::filesystem::path newest;
  for (const auto& entry : std::filesystem::directory_iterator(out() / site / "checkpoints")) {
    if (newest.empty() || entry.last_write_time() > std::filesystem::last_write_time(newest)) {
      newest = entry.path();
    }
  }
  auto reader = CheckpointReader::open(newest);
  if (!reader.ok()) {
    ADD_FAILURE() << reader.status().to_string();
    return values;
  }
  Run run = *read_run(folder_ / "run.toml");
  run.model.vocabulary = load_data(run.data.folder)->vocabulary_size;
  for (const TensorSpec& tensor : tensors_of(run.model)) {
    const size_t begin = values.size();
    values.resize(begin + static_cast<size_t>(tensor.num_elements()));
    const Status status = reader->read(section, tensor.name, 0, std::span(values).subspan(begin));
    if (!status.ok()) ADD_FAILURE() << status.to_string();
  }
  return values;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(a[i]), 2);
  }
  return std::sqrt(difference / norm);
}

std::string output_of(const std::vector<std::string>& command) {
  const auto log =
      std::filesystem::temp_directory_path() / cat("skarv-output-", ::getpid(), ".log");
  std::filesystem::remove(log);
  const auto code = run_program(command, log, kOutputLimit);
  const auto text = read_file(log);
  std::filesystem::remove(log);
  const std::string output = text.ok() ? *text : "";
  if (code != 0) ADD_FAILURE() << command[0] << " " << command[1] << ": " << output;
  return output;
}

}  // namespace skarv::testing
