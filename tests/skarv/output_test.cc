// What the program prints, to a person and to a script, and the forms of its command line.
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "base/json.h"
#include "base/text.h"
#include "skarv/program_fixture.h"

namespace skarv {
namespace {

namespace fs = std::filesystem;

constexpr auto kDeadline = std::chrono::seconds(10);

// A copy of the good inputs to write beside.
struct InputsOfOne {
  const fs::path folder = fs::temp_directory_path() / cat("skarv-output-", ::getpid());
  InputsOfOne() { fs::copy(good_inputs(), folder, fs::copy_options::recursive); }
  ~InputsOfOne() {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }
};

ProgramEnd skarv(const fs::path& folder, const std::string& command) {
  std::vector<std::string> words = split(command, ' ');
  words.insert(words.begin(), SKARV_PROGRAM);
  return run_program(words, folder, kDeadline);
}

// A table that nobody could read has not been shown.
TEST(Output, ThatCannotBeWrittenIsAFailure) {
  const std::string verb =
      std::string(SKARV_PROGRAM) +
      " plan run.toml --cluster cluster.toml --profile profile.json --price plan.json";
  for (const std::string& flags : {std::string(), std::string(" --json")}) {
    const ProgramEnd full =
        run_program({"/bin/sh", "-c", verb + flags + " > /dev/full"}, good_inputs(), kDeadline);
    EXPECT_EQ(full.exit_code, 1) << full.text;
    EXPECT_NE(full.text.find("standard output"), std::string::npos) << full.text;
    EXPECT_NE(full.text.find("hint: "), std::string::npos) << full.text;
  }
  const ProgramEnd closed = run_program({"/bin/sh", "-c", verb + " >&-"}, good_inputs(), kDeadline);
  EXPECT_NE(closed.exit_code, 0) << closed.text;
}

TEST(CommandLine, FlagsThatRepeatDoNotSwallowWhatComesAfterThem) {
  const InputsOfOne inputs;
  for (const std::string command :
       {"data --quiet --vocabulary 300 --extension .txt corpus --out x",
        "plan --schedule 1f1b --schedule zero-bubble run.toml --cluster cluster.toml "
        "--profile profile.json --out o.json"}) {
    const ProgramEnd end = skarv(inputs.folder, command);
    EXPECT_EQ(end.exit_code, 0) << end.text;
  }
}

// Of every verb that offers JSON: a command that shows it here, or nothing where it is shown with
// company (bad_peer_test.cc) or starts workers (tests/system).
TEST(Json, IsOneDocumentOfEveryVerbThatOffersIt) {
  const std::map<std::string, std::string> commands = {
      {"data", "data corpus --vocabulary 300 --out x"},
      {"plan", "plan run.toml --cluster cluster.toml --profile profile.json --out o.json"},
      {"simulate",
       "simulate run.toml --cluster cluster.toml --profile profile.json --plan plan.json"},
      {"status", "status r"},
      {"export", "export island --out model"},
      {"cert", "cert north --folder c"},
      {"coordinator", ""},
      {"join", ""},
      {"probe", ""},
      {"train", ""},
      {"generate", ""}};
  const InputsOfOne inputs;
  fs::create_directories(inputs.folder / "r/coordinator");
  write_text(inputs.folder / "r/coordinator/status.json", "{\"committed\": 2}");
  for (const std::string& verb : verbs_of_program()) {
    SCOPED_TRACE(verb);
    const std::string help = skarv(inputs.folder, verb + " --help").text;
    const auto found = commands.find(verb);
    ASSERT_EQ(help.find("--json") != std::string::npos, found != commands.end()) << help;
    if (found == commands.end() || found->second.empty()) continue;
    const ProgramEnd end = skarv(inputs.folder, found->second + " --json");
    EXPECT_EQ(end.exit_code, 0) << end.text;
    const auto json = parse_json(end.text, "the output");
    ASSERT_TRUE(json.ok()) << json.status() << "\n" << end.text;
    EXPECT_TRUE(json->is_object()) << end.text;
  }
}

// What a person reads below the table, a script finds too.
TEST(Plan, TellsAScriptWhatAChangeMoves) {
  const InputsOfOne inputs;
  const ProgramEnd end = skarv(inputs.folder,
                               "plan run.toml --cluster cluster.toml --profile profile.json "
                               "--from plan.json --out o.json --json");
  ASSERT_EQ(end.exit_code, 0) << end.text;
  const auto json = parse_json(end.text, "plan");
  ASSERT_TRUE(json.ok()) << json.status();
  ASSERT_TRUE(json->contains("change")) << end.text;
  EXPECT_EQ((*json)["change"]["moved_bytes"], 0);
  EXPECT_EQ((*json)["change"]["choice"], "kept");
}

// A plan that is only priced need not fit; that it does not is said to both.
TEST(Plan, SaysWhatDoesNotFit) {
  const InputsOfOne inputs;
  edit(inputs.folder / "cluster.toml", "1 GB", "1 MB");
  const std::string price =
      "plan run.toml --cluster cluster.toml --profile profile.json --price plan.json";
  const ProgramEnd table = skarv(inputs.folder, price);
  EXPECT_EQ(table.exit_code, 0) << table.text;
  EXPECT_NE(table.text.find("does not fit: north/a/0 needs"), std::string::npos) << table.text;
  const auto json = parse_json(skarv(inputs.folder, price + " --json").text, "plan");
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_NE((*json)["overflow"].get<std::string>().find("north/a/0 needs"), std::string::npos);
}

}  // namespace
}  // namespace skarv
