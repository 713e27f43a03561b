// The disk of a run is full in the middle: the run stops soon and says so, and once there is space
// it goes on to its end with every round that was committed.
//
// The disk is a small file system in memory, mounted in namespaces of this test's own.
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "skarv/program_fixture.h"

namespace skarv {
namespace {

namespace fs = std::filesystem;

constexpr char kScript[] = R"(set -u
mkdir disk
mount -t tmpfs -o size=64m tmpfs disk || exit 77
train() {
  "$0" train run.toml --cluster cluster.toml --profile profile.json --plan plan.json \
    --plain --quiet --out disk/r "$@"
}
train > full.log 2>&1 &
run=$!
for i in $(seq 400); do
  grep -q '"committed": [1-9]' disk/r/coordinator/status.json 2> /dev/null && break
  sleep 0.05
done
dd if=/dev/zero of=disk/ballast bs=64k 2> ballast.log
wait $run
echo $? > full.code
cp disk/r/coordinator/status.json before.json 2> /dev/null
rm disk/ballast
train --resume > resumed.log 2>&1
echo $? > resumed.code
cp disk/r/coordinator/status.json after.json
cp disk/r/coordinator/events.jsonl events.jsonl
)";

TEST(SlowFullDisk, StopsTheRunWhichGoesOnOnceThereIsSpace) {
  if (!fs::exists(worker_path())) {
    GTEST_SKIP() << "skarv-worker is not built (preset core)";
  }
  const fs::path folder = fs::temp_directory_path() / cat("skarv-full-disk-", ::getpid());
  fs::remove_all(folder);
  make_good_inputs(folder);
  edit(folder / "run.toml", "steps = 8", "steps = 1600\ncheckpoint_every_rounds = 20");
  write_text(folder / "script", kScript);
  const ProgramEnd end =
      run_program({"/usr/bin/unshare", "-Urm", "/bin/sh", "-c",
                   "exec /bin/sh -c \"$(cat script)\" " + std::string(SKARV_PROGRAM)},
                  folder, std::chrono::seconds(100));
  if (end.exit_code == 77 || !fs::exists(folder / "disk")) {
    fs::remove_all(folder);
    GTEST_SKIP() << "no user and mount namespaces here: " << end.text;
  }
  ASSERT_EQ(end.exit_code, 0) << end.text;
  const std::string said = read_text(folder / "full.log");
  EXPECT_EQ(read_text(folder / "full.code"), "1\n") << said;
  for (const char* word : {"at disk/r", "the disk is full", "hint: free disk space", "--resume"}) {
    EXPECT_NE(said.find(word), std::string::npos) << said;
  }
  EXPECT_EQ(read_text(folder / "resumed.code"), "0\n") << read_text(folder / "resumed.log");
  // The last coordinator began with every round that was ever told of, and committed the rest.
  const int64_t told =
      parse_json(read_text(folder / "before.json"), "before.json").value()["committed"];
  EXPECT_GT(told, 0);
  int64_t began = -1, last = 0, num_jumps = 0;
  for (const std::string& line : split(read_text(folder / "events.jsonl"), '\n')) {
    const auto event = parse_json(line, "events");  // the full disk took some in part
    if (!event.ok() || !event->is_object()) continue;
    if ((*event)["what"] == "start") {
      began = last = (*event)["committed"];
      num_jumps = 0;
    }
    if ((*event)["what"] != "commit") continue;
    num_jumps += (*event)["round"] != last + 1;
    last = (*event)["round"];
  }
  EXPECT_GE(began, told);
  EXPECT_EQ(num_jumps, 0);
  EXPECT_EQ(last, 400);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace skarv
