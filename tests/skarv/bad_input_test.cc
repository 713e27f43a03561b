// Bad input of every kind, handed to the real program. Each case: the message names the place, the
// cause and what to do; the exit code is right; it ends in time; no input is changed and no output
// is left behind.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "skarv/program_fixture.h"

namespace skarv {
namespace {

namespace fs = std::filesystem;
using Spoil = std::function<void(const fs::path& folder)>;

constexpr auto kDeadline = std::chrono::seconds(10);

struct Case {
  std::string name;
  std::string command;  // words after "skarv"
  int exit_code;
  std::vector<std::string> words;  // in the message
  Spoil spoil = {};                // of a fresh copy of the good inputs
  int max_file_bytes = 0;
  bool needs_worker = false;
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

class BadInput : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / cat("skarv-bad-input-", ::getpid(), "-", GetParam().name);
    fs::copy(good_inputs(), folder_, fs::copy_options::recursive);
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  fs::path folder_;
};

TEST_P(BadInput, IsNamedAndHarmless) {
  const Case& one = GetParam();
  if (one.needs_worker && !fs::exists(worker_path())) {
    GTEST_SKIP() << "skarv-worker is not built (preset core)";
  }
  if (one.spoil) one.spoil(folder_);
  const auto before = picture_of(folder_);
  std::vector<std::string> command = {SKARV_PROGRAM};
  for (const std::string& word : split(one.command, ' ')) {
    if (!word.empty()) command.push_back(word);
  }
  const ProgramEnd end = run_program(command, folder_, kDeadline, one.max_file_bytes);
  EXPECT_EQ(end.exit_code, one.exit_code) << end.text;
  for (const std::string& word : one.words) {
    EXPECT_NE(end.text.find(word), std::string::npos) << "no \"" << word << "\" in:\n" << end.text;
  }
  EXPECT_NE(end.text.find("hint: "), std::string::npos) << end.text;
  EXPECT_EQ(end.text.find("exception"), std::string::npos) << end.text;
  EXPECT_EQ(picture_of(folder_), before) << end.text;
}

Spoil change(const std::string& file, const std::string& from, const std::string& to) {
  return [=](const fs::path& folder) { edit(folder / file, from, to); };
}
Spoil put(const std::string& file, const std::string& text) {
  return [=](const fs::path& folder) { write_text(folder / file, text); };
}
Spoil cut(const std::string& file, int num_bytes) {
  return [=](const fs::path& folder) { fs::resize_file(folder / file, num_bytes); };
}
// One device is of a chip that a plug-in brings.
Spoil with_plugin(const std::string& path) {
  return [=](const fs::path& folder) {
    edit(folder / "cluster.toml", "\"cpu\"", "\"toy\", plugin = \"" + path + "\"");
    std::string profile = read_text(folder / "profile.json");
    const std::string cpu = "\"cpu\"";
    for (size_t at = 0; (at = profile.find(cpu, at)) != std::string::npos;) {
      profile.replace(at, cpu.size(), "\"toy\"");
    }
    edit(folder / "cluster.toml", "\"cpu\"", "\"toy\", plugin = \"" + path + "\"");
    write_text(folder / "profile.json", profile);
  };
}
// A library that is surely there and no device's: the one that malloc comes from.
std::string library_of_no_device() {
  Dl_info info{};
  return ::dladdr(::dlsym(RTLD_DEFAULT, "malloc"), &info) != 0 ? info.dli_fname : "";
}
Spoil copy(const std::string& from, const std::string& to) {
  return [=](const fs::path& folder) {
    fs::copy(folder / from, folder / to,
             fs::copy_options::overwrite_existing | fs::copy_options::recursive);
  };
}
// An existing run, started with the good run file.
Spoil with_run(const Spoil& then = {}) {
  return [=](const fs::path& folder) {
    fs::create_directories(folder / "old/coordinator");
    fs::copy(folder / "job.json", folder / "old/coordinator/job.json");
    if (then) then(folder);
  };
}

const std::string kPlan =
    "plan run.toml --cluster cluster.toml --profile profile.json --out o.json";
const std::string kPrice =
    "plan run.toml --cluster cluster.toml --profile profile.json --price plan.json";
const std::string kTrain =
    "train run.toml --cluster cluster.toml --profile profile.json --plan plan.json --quiet --out r";
const std::string kCoordinator = "coordinator --job job.json --folder c --listen 127.0.0.1:0";
const std::string kJoin =
    "join --job job.json --island south --folder j --coordinator 127.0.0.1:1 --listen 127.0.0.1:0";
const std::string kShard = "island/checkpoints/step-4/shard-island.safetensors";

INSTANTIATE_TEST_SUITE_P(
    CommandLine, BadInput,
    testing::Values(
        Case{"no_verb", "", 2, {"command line", "no verb"}},
        Case{"unknown_verb", "trian", 2, {"command line", "trian", "train"}},
        Case{"unknown_flag",
             "data corpus --vocabulry 300 --out x",
             2,
             {"skarv data", "--vocabulry", "did you mean --vocabulary?"}},
        Case{"missing_argument", "data --out x", 2, {"skarv data", "corpus is required"}},
        Case{"missing_value", "plan run.toml --cluster", 2, {"skarv plan", "--cluster"}},
        Case{"no_number", "data corpus --out x --vocabulary abc", 2, {"--vocabulary", "abc"}},
        Case{"days_out_of_range", "cert a --folder x --days 0", 2, {"skarv cert", "--days"}},
        Case{"unknown_type", "export island --out x --type int3", 2, {"--type", "int3"}},
        Case{"out_is_empty", "export island --out=", 2, {"skarv export", "--out"}},
        Case{"megabytes_below_zero",
             "data corpus --out x --max-mb -1",
             2,
             {"skarv data", "--max-mb is -1"}},
        Case{"temperature_of_nothing",
             "generate island --temperature nan",
             2,
             {"skarv generate", "--temperature is not a number"}},
        Case{"budget_of_nothing", kPlan + " --budget nan", 2, {"--budget is not a number"}},
        Case{"two_models",
             "simulate run.toml --cluster cluster.toml --plan plan.json --model plan.json",
             2,
             {"skarv simulate", "--model", "run"}},
        Case{"temperature", "generate island --temperature -1", 2, {"--temperature", "-1"}}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Data, BadInput,
    testing::Values(
        Case{"missing_corpus", "data nope --out x", 2, {"at nope", "no corpus there"}},
        Case{"empty_folder", "data empty --out x", 2, {"at empty", "corpus is empty"}},
        Case{"empty_file", "data e.txt --out x", 2, {"at e.txt", "no bytes"}, put("e.txt", "")},
        Case{"one_document", "data corpus/1.txt --out x", 2, {"at corpus/1.txt", "one document"}},
        Case{"extension_without_dot",
             "data corpus --extension txt --out x",
             2,
             {"\"txt\" is no extension", "\".txt\""}},
        Case{"absent_extension", "data corpus --extension .md --out x", 2, {"at corpus", ".md"}},
        Case{"bad_json_line",
             "data b.jsonl --out x",
             2,
             {"b.jsonl:2", "not valid JSON"},
             put("b.jsonl", "{\"text\": \"fine\"}\n{\"text\": oops}\n")},
        Case{"vocabulary_out_of_range",
             "data corpus --vocabulary 5 --out x",
             2,
             {"--vocabulary", "258"}},
        Case{"no_text_field",
             "data b.jsonl --out x",
             2,
             {"b.jsonl:1", "no field \"text\"", "body"},
             put("b.jsonl", "{\"body\": \"fine\"}\n")},
        Case{"wrong_tokenizer",
             "data corpus --tokenizer t.json --out x",
             2,
             {"at t.json", "no tokenizer.json"},
             put("t.json", "{}")},
        Case{"no_tokenizer", "data corpus --tokenizer nope.json --out x", 2, {"at nope.json"}},
        Case{"validation_not_a_number",
             "data corpus --validation nan --out x",
             2,
             {"skarv data", "validation fraction of nan"}},
        Case{"endless_megabytes", "data corpus --max-mb inf --out x", 2, {"--max-mb", "inf"}},
        Case{"file_in_place_of_folder", "data corpus --out run.toml", 2, {"at run.toml"}},
        Case{"disk_full",
             "data corpus --vocabulary 300 --out x",
             1,
             {"x/", "File too large", "free disk space"},
             {},
             256},
        Case{"disk_full_over_good_data",
             "data corpus --vocabulary 280 --out data",
             1,
             {"data/", "free disk space"},
             {},
             256},
        Case{"bad_corpus_over_good_data",
             "data corpus/1.txt --out data",
             2,
             {"at corpus/1.txt", "one document"}}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Files, BadInput,
    testing::Values(
        Case{"no_run_file",
             "plan nope.toml --cluster cluster.toml --profile profile.json",
             2,
             {"at nope.toml", "No such file"}},
        Case{"folder_as_run_file",
             "plan corpus --cluster cluster.toml --profile profile.json",
             2,
             {"at corpus", "folder: name a file"}},
        Case{"bad_toml",
             kPlan,
             2,
             {"run.toml:7", "not valid TOML"},
             change("run.toml", "hidden = 16", "hidden =")},
        Case{"unknown_key",
             kPlan,
             2,
             {"run.toml:7", "model.hiden", "did you mean hidden"},
             change("run.toml", "hidden", "hiden")},
        Case{"heads",
             kPlan,
             2,
             {"run.toml:9", "does not divide"},
             change("run.toml", "heads = 2", "heads = 3")},
        Case{"overlap",
             kPlan,
             2,
             {"run.toml:19", "overlap_steps"},
             change("run.toml", "overlap_steps = 1", "overlap_steps = 4")},
        Case{"vocabulary_too_small",
             kPlan,
             2,
             {"run.toml", "vocabulary is 100", "need 300"},
             change("run.toml", "hidden", "vocabulary = 100\nhidden")},
        Case{"no_data_folder", kPlan + " --data nope", 2, {"nope/data.json", "skarv data"}},
        Case{"truncated_tokens",
             kPlan,
             4,
             {"data/train.idx", "data/train.bin has 100"},
             cut("data/train.bin", 100)},
        Case{
            "truncated_index", kPlan, 4, {"data/train.idx", "40 bytes"}, cut("data/train.idx", 40)},
        Case{"edited_manifest",
             kPlan,
             4,
             {"data/data.json", "290 tokens"},
             change("data/data.json", "\"vocabulary_size\": 300", "\"vocabulary_size\": 290")},
        Case{"manifest_is_a_number", kPlan, 2, {"data/data.json"}, put("data/data.json", "3")},
        Case{"no_tokenizer_in_data",
             kPlan,
             2,
             {"data/tokenizer.json"},
             [](const fs::path& folder) { fs::remove(folder / "data/tokenizer.json"); }},
        Case{"no_cluster",
             "plan run.toml --cluster nope.toml --profile profile.json",
             2,
             {"at nope.toml"}},
        Case{"unknown_unit",
             kPlan,
             2,
             {"cluster.toml:18", "Mbut/s"},
             change("cluster.toml", "Mbit/s", "Mbut/s")},
        Case{"unknown_chip",
             kPlan,
             2,
             {"cluster.toml:6", "\"cpo\"", "did you mean cpu"},
             change("cluster.toml", "\"cpu\"", "\"cpo\"")},
        Case{"does_not_fit",
             kPlan,
             2,
             {"cluster.toml", "north/a/0 needs", "of 1.00 MB"},
             [](const fs::path& folder) {
               for (int site = 0; site < 2; ++site) edit(folder / "cluster.toml", "1 GB", "1 MB");
             }},
        Case{"profile_cut_off",
             kPlan,
             2,
             {"profile.json", "not valid JSON"},
             cut("profile.json", 200)},
        Case{"profile_is_a_list", kPlan, 2, {"profile.json", "list"}, put("profile.json", "[]")},
        Case{"profile_of_another_model",
             kPlan,
             2,
             {"profile.json", "measured for the model"},
             change("run.toml", "ffn = 32", "ffn = 48")},
        Case{"profile_lacks_a_chip",
             kPlan,
             2,
             {"profile.json", "no chip h20"},
             change("cluster.toml", "chip = \"cpu\", pace = 0.7", "chip = \"h20\"")},
        Case{"plan_onto_a_folder",
             "plan run.toml --cluster cluster.toml --profile profile.json --out corpus",
             2,
             {"at corpus", "folder"}},
        Case{"plan_below_a_file",
             "plan run.toml --cluster cluster.toml --profile profile.json --out run.toml/p",
             2,
             {"run.toml/p"}},
        Case{"plan_disk_full", kPlan, 1, {"o.json", "free disk space"}, {}, 256}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Plans, BadInput,
    testing::Values(
        Case{"of_another_model",
             kPrice,
             2,
             {"plan.json", "made for the model"},
             [](const fs::path& folder) {
               std::string text = read_text(folder / "plan.json");
               const std::string key = "\"model\": \"";
               write_text(folder / "plan.json",
                          text.replace(text.find(key) + key.size(), 4, "0000"));
             }},
        Case{"unknown_device",
             kPrice,
             2,
             {"plan.json: islands[0]", "north/a/9"},
             change("plan.json", "north/a/0", "north/a/9")},
        Case{"device_twice",
             kPrice,
             2,
             {"plan.json: islands[1]", "already used"},
             change("plan.json", "south/b/0", "north/a/0")},
        Case{"layers_left_out",
             kPrice,
             2,
             {"plan.json: islands[0]", "layer"},
             change("plan.json", "        4\n", "        3\n")},
        Case{"layers_twice",
             kPrice,
             2,
             {"plan.json: islands[0]", "layers"},
             change("plan.json", "     \"stages\": [\n",
                    "     \"stages\": [\n{\"layers\": [0, 2], \"devices\": [\"north/a/0\"]},\n")},
        Case{"samples_do_not_add_up",
             kPrice,
             2,
             {"plan.json", "global_batch is 8"},
             change("plan.json", "\"samples\": ", "\"samples\": 1")},
        Case{"microbatch_zero",
             kPrice,
             2,
             {"plan.json", "microbatch is 0"},
             change("plan.json", "\"microbatch\": ", "\"microbatch\": 0, \"x\": ")},
        Case{"unknown_schedule",
             kPrice,
             2,
             {"plan.json", "zigzag", "1f1b"},
             change("plan.json", "\"1f1b\"", "\"zigzag\"")},
        Case{"unknown_version",
             kPrice,
             2,
             {"plan.json", "version 9"},
             change("plan.json", "\"version\": 1", "\"version\": 9")}),
    [](const auto& info) { return info.param.name; });

const std::string kSimulate =
    "simulate run.toml --cluster cluster.toml --profile profile.json --plan plan.json";

INSTANTIATE_TEST_SUITE_P(
    Simulate, BadInput,
    testing::Values(
        Case{"simulate_no_plan", "simulate run.toml --cluster cluster.toml", 2, {"--plan"}},
        Case{"simulate_no_model",
             "simulate --cluster cluster.toml --plan plan.json",
             2,
             {"no model", "--model"}},
        Case{"simulate_model_damaged",
             "simulate --cluster cluster.toml --plan plan.json --model model.json",
             2,
             {"model.json"},
             put("model.json", "{\"hidden\": 16}")},
        Case{
            "simulate_slow_without_factor", kSimulate + " --slow north/a/0", 2, {"--slow", "=1.5"}},
        Case{"simulate_slow_stranger",
             kSimulate + " --slow north/a/1=2",
             2,
             {"slowdown", "no device north/a/1", "did you mean north/a/0?"}},
        Case{"simulate_jitter", kSimulate + " --jitter 3", 2, {"--jitter"}},
        Case{"simulate_mtbf", kSimulate + " --host-mtbf 3x", 2, {"--host-mtbf", "3x"}},
        Case{"simulate_tcp", kSimulate + " --congestion-control renu", 2, {"renu", "reno"}},
        Case{"simulate_negative_bandwidth",
             kSimulate,
             2,
             {"cluster.toml:", "link[0].bandwidth", "negative"},
             change("cluster.toml", "100 Mbit/s", "-100 Mbit/s")},
        Case{"simulate_other_model",
             kSimulate,
             2,
             {"plan.json: model", "made for the model"},
             change("run.toml", "ffn = 32", "ffn = 48")},
        Case{"simulate_layer_twice",
             kSimulate,
             2,
             {"plan.json: islands[0].pipelines[0].stages[1]"},
             [](const fs::path& folder) {
               Json plan = read_json(folder / "plan.json").value();
               Json& stages = plan["islands"][0]["pipelines"][0]["stages"];
               Json again = stages[0];
               stages.push_back(again);
               write_text(folder / "plan.json", plan.dump());
             }},
        Case{"simulate_device_twice",
             kSimulate,
             2,
             {"plan.json: islands[1].pipelines[0]", "north/a/0"},
             [](const fs::path& folder) {
               Json plan = read_json(folder / "plan.json").value();
               plan["islands"][1]["pipelines"][0]["stages"][0]["devices"] = {"north/a/0"};
               write_text(folder / "plan.json", plan.dump());
             }},
        Case{"simulate_time_beyond_measure",
             kSimulate,
             2,
             {"profile", "forward of a layer of kind embedding", "1e+30"},
             change("profile.json", "\"forward\": 0.0001", "\"forward\": 1e30")},
        Case{"simulate_schedule_of_nobody",
             kSimulate + " --schedule s.json",
             2,
             {"--schedule", "north=schedule.json"}},
        Case{"simulate_schedule_damaged",
             kSimulate + " --schedule north=s.json",
             2,
             {"s.json", "ranks"},
             put("s.json", "{}")},
        Case{"simulate_schedule_of_others",
             kSimulate + " --schedule north=s.json",
             2,
             {"the schedule is for 0 devices"},
             put("s.json", "{\"ranks\": []}")},
        Case{"simulate_trace_below_a_file", kSimulate + " --trace run.toml/t", 2, {"run.toml/t"}}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Train, BadInput,
    testing::Values(
        Case{"steps",
             kTrain,
             2,
             {"run.toml", "steps = 7", "use 8"},
             change("run.toml", "steps = 8", "steps = 7")},
        Case{"resume_nothing", kTrain + " --resume", 2, {"at r", "no run to resume"}},
        Case{"run_name",
             kTrain,
             2,
             {"run.toml:2", "our run", "name of a run"},
             change("run.toml", "\"bad\"", "\"our run\"")},
        Case{"island_called_export",
             kTrain,
             2,
             {"plan.json: islands[1].name", "\"export\" is a part of every run"},
             change("plan.json", "\"south\"", "\"export\"")},
        Case{"island_outside_the_folder",
             "simulate run.toml --cluster cluster.toml --profile profile.json --plan plan.json "
             "--save-schedules s",
             2,
             {"plan.json: islands[1].name", "../../x"},
             change("plan.json", "\"south\"", "\"../../x\"")},
        Case{"run_is_there",
             kTrain + "/../old",
             2,
             {"a run lies here", "--resume"},
             with_run([](const fs::path& folder) { fs::create_directories(folder / "r"); })},
        Case{"resume_another_run",
             "train run.toml --cluster cluster.toml --profile profile.json --out old --resume",
             2,
             {"run.toml", "differs"},
             with_run(change("run.toml", "steps = 8", "steps = 12"))},
        Case{"resume_damaged_job",
             "train run.toml --cluster cluster.toml --profile profile.json --out old --resume",
             2,
             {"old/coordinator/job.json"},
             with_run(cut("old/coordinator/job.json", 50))},
        Case{"plan_does_not_fit",
             kTrain,
             2,
             {"plan.json", "north/a/0 needs", "of 1.00 MB", "smaller microbatches"},
             change("cluster.toml", "1 GB", "1 MB")},
        Case{"export_of_another",
             kTrain,
             2,
             {"at r/export", "is there already", "--out"},
             [](const fs::path& folder) {
               fs::create_directories(folder / "r/export");
               write_text(folder / "r/export/mine.txt", "dear");
             }},
        Case{"no_link",
             kTrain + " --emulate-wan",
             2,
             {"cluster.toml", "no link", "[[link]]"},
             [](const fs::path& folder) {
               std::string text = read_text(folder / "cluster.toml");
               write_text(folder / "cluster.toml", text.substr(0, text.find("[[link]]")));
             }},
        Case{"no_link_of_a_renamed_island",
             kTrain + " --emulate-wan",
             2,
             {"cluster.toml", "no link between north and south"},
             [](const fs::path& folder) {
               edit(folder / "plan.json", "\"south\"", "\"zed\"");
               std::string text = read_text(folder / "cluster.toml");
               write_text(folder / "cluster.toml", text.substr(0, text.find("[[link]]")));
             }},
        Case{"out_below_a_file", kTrain + "un.toml/x", 2, {"run.toml/x"}},
        Case{"bad_plan", kTrain, 2, {"plan.json"}, cut("plan.json", 20)}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Export, BadInput,
    testing::Values(
        Case{"no_folder", "export nope --out x", 2, {"at nope", "no such folder"}},
        Case{"no_checkpoint", "export empty --out x", 2, {"at empty", "no checkpoint"}},
        Case{"output_exists", "export island --out data", 2, {"at data", "exists"}},
        Case{"truncated_shard",
             "export island --out x",
             4,
             {"shard-island", "bytes instead of"},
             cut(kShard, 100)},
        Case{"manifest_edited",
             "export island --out x",
             4,
             {"manifest.json", "committed"},
             change("island/checkpoints/step-4/manifest.json", "\"round\": 1", "\"round\": 2")},
        Case{"commit_damaged",
             "export island/checkpoints/step-4 --out x",
             4,
             {"COMMIT"},
             put("island/checkpoints/step-4/COMMIT", "{")},
        Case{"never_committed",
             "export island --out x",
             2,
             {"island/checkpoints", "committed"},
             [](const fs::path& folder) {
               fs::remove(folder / "island/checkpoints/step-4/COMMIT");
             }},
        Case{"export_below_a_file", "export island --out run.toml/x", 2, {"run.toml"}},
        Case{"export_disk_full", "export island --out x", 1, {"free disk space"}, {}, 256},
        Case{"status_of_nothing", "status nope", 2, {"nope/coordinator/status.json"}},
        Case{"generate_nothing", "generate empty", 2, {"at empty", "model.safetensors"}},
        Case{"generate_damaged",
             "generate empty",
             2,
             {"empty/config.json"},
             put("empty/model.safetensors", "junk"),
             0,
             true}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Probe, BadInput,
    testing::Values(Case{"no_plugin",
                         "probe run.toml --cluster cluster.toml --out o.json --quiet",
                         2,
                         {"nope.so", "no such file"},
                         change("cluster.toml", "\"cpu\"", "\"toy\", plugin = \"nope.so\""),
                         0,
                         true},
                    Case{"no_plugin_but_a_text",
                         "probe run.toml --cluster cluster.toml --out o.json --quiet",
                         2,
                         {"run.toml", "does not load", "invalid ELF header"},
                         change("cluster.toml", "\"cpu\"", "\"toy\", plugin = \"run.toml\""),
                         0,
                         true},
                    Case{"plugin_without_backend",
                         "probe run.toml --cluster cluster.toml --out o.json --quiet",
                         2,
                         {"registers no PrivateUse1 backend", "device library itself"},
                         with_plugin(library_of_no_device()),
                         0,
                         true},
                    Case{"absent_device",
                         "probe run.toml --cluster cluster.toml --out o.json --quiet",
                         2,
                         {"north/a/0", "no device"},
                         change("cluster.toml", "\"cpu\"", "\"h20\""),
                         0,
                         true}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Sites, BadInput,
    testing::Values(
        Case{"cert_bad_name", "cert north so!uth --folder x", 2, {"so!uth", "letters"}},
        Case{"cert_twice", "cert north north --folder x", 2, {"x/north.pem", "twice"}},
        Case{"name_too_long",
             "train run.toml --cluster cluster.toml --quiet --out " + std::string(300, 'x'),
             2,
             {std::string(300, 'x'), "name too long"}},
        Case{"export_name_too_long",
             "export " + std::string(300, 'x') + " --out e",
             2,
             {std::string(300, 'x'), "name too long"}},
        Case{"cert_of_the_authority", "cert ca --folder x", 2, {"x/ca.pem", "authority"}},
        Case{"cert_exists", "cert north --folder certs", 2, {"certs/north.pem", "overwritten"}},
        Case{"cert_below_a_file", "cert north --folder run.toml", 2, {"run.toml"}},
        Case{"no_security", kCoordinator, 2, {"--certs FOLDER, or --plain"}},
        Case{"plain_to_the_world",
             "coordinator --job job.json --folder empty --listen 0.0.0.0:0 --plain --x",
             2,
             {"--x"}},
        Case{"job_lacks_parts",
             "coordinator --job plan.json --folder c --plain",
             2,
             {"plan.json", "no 'run'"}},
        Case{"no_job",
             "join --job no.json --island north --folder j --coordinator h:1 --plain",
             2,
             {"no.json", "skarv train"}},
        Case{"job_of_bad_plan",
             kCoordinator + " --plain",
             2,
             {"job.json", "north/a/9"},
             change("job.json", "\"north/a/0\"\n       ", "\"north/a/9\"\n       ")},
        Case{"token_for_all",
             kJoin + " --certs certs",
             2,
             {"certs/token", "chmod 600"},
             [](const fs::path& folder) {
               fs::permissions(folder / "certs/token", fs::perms(0644));
             }},
        Case{"empty_token",
             kJoin + " --certs certs",
             2,
             {"certs/token", "empty"},
             put("certs/token", "")},
        Case{"certificate_of_another",
             kJoin + " --certs certs",
             2,
             {"certs/south.pem", "'north'"},
             copy("certs/north.pem", "certs/south.pem")},
        Case{"no_certificate",
             kJoin + " --certs certs",
             2,
             {"certs/south.key", "skarv cert south"},
             [](const fs::path& folder) { fs::remove(folder / "certs/south.key"); }},
        Case{"certificate_damaged",
             kJoin + " --certs certs",
             2,
             {"certs/south.pem", "not a PEM certificate"},
             cut("certs/south.pem", 30)},
        Case{"unknown_island",
             "join --job job.json --island west --folder j --coordinator h:1 --plain",
             2,
             {"job.json", "no island west", "north, south"}},
        Case{"join_no_data", kJoin + " --plain --data nope", 2, {"nope/data.json"}},
        Case{"route_to_nobody",
             kJoin + " --plain --route west=127.0.0.1:9",
             2,
             {"job.json", "no island west"}},
        Case{"bad_route", kJoin + " --plain --route x", 2, {"--route x", "ISLAND=HOST:PORT"}}),
    [](const auto& info) { return info.param.name; });

TEST(Help, EveryVerbHasAnExampleWhoseFlagsExist) {
  const std::vector<std::string> verbs = verbs_of_program();
  EXPECT_NE(std::find(verbs.begin(), verbs.end(), "simulate"), verbs.end());
  for (const std::string& verb : verbs) {
    const ProgramEnd help = run_program({SKARV_PROGRAM, verb, "--help"}, good_inputs(), kDeadline);
    EXPECT_EQ(help.exit_code, 0) << verb;
    const size_t place = help.text.find("Example: skarv " + verb);
    ASSERT_NE(place, std::string::npos) << help.text;
    for (const std::string& word : split(help.text.substr(place), ' ')) {
      if (!word.starts_with("--")) continue;
      const std::string flag = word.substr(0, word.find('\n'));
      EXPECT_NE(help.text.find("\n  " + flag), std::string::npos) << verb << " lacks " << flag;
    }
  }
}

}  // namespace
}  // namespace skarv
