// What the supervisor of a run on one machine lays out for its processes.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "skarv/program_fixture.h"
#include "support/temporary_folder.h"

namespace skarv {
namespace {

namespace fs = std::filesystem;

// With TLS, and to the end where there is a worker; without one the run stops when everything is
// laid out.
TEST(SlowSupervisor, NoPartyHasAnothersKey) {
  const TemporaryFolder folder;
  make_good_inputs(folder.path());
  const ProgramEnd end =
      run_program({SKARV_PROGRAM, "train", "run.toml", "--cluster", "cluster.toml", "--profile",
                   "profile.json", "--plan", "plan.json", "--quiet", "--out", "r"},
                  folder.path(), std::chrono::seconds(60));
  EXPECT_EQ(end.exit_code == 0, fs::exists(worker_path())) << end.text;
  std::map<std::string, std::set<std::string>> keys;  // by folder
  for (const auto& entry : fs::recursive_directory_iterator(folder / "r")) {
    if (entry.path().extension() != ".key") continue;
    keys[entry.path().parent_path().lexically_relative(folder / "r").string()].insert(
        entry.path().filename().string());
  }
  const std::map<std::string, std::set<std::string>> expected = {
      {"certs", {"ca.key"}},
      {"coordinator/certs", {"coordinator.key"}},
      {"north/certs", {"north.key"}},
      {"south/certs", {"south.key"}}};
  EXPECT_EQ(keys, expected) << end.text;
}

}  // namespace
}  // namespace skarv
