// A run of the programs on sites of one cpu device each, unpaced, without relays: for tests of the
// numbers. Inputs and results lie in a folder of its own, which goes with the object.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"

namespace skarv::testing {

struct SiteRunShape {
  std::vector<int> samples;  // of a step, by site; one site is called north, the other south
  int64_t steps = 50;
  std::string exchange;         // lines of [exchange]
  double learning_rate = 3e-3;  // with a warm-up of 10 steps where there are so many
};

class SiteRun {
 public:
  SiteRun(const std::string& name, const SiteRunShape& shape);
  ~SiteRun();
  SiteRun(const SiteRun&) = delete;
  SiteRun& operator=(const SiteRun&) = delete;

  // skarv train with these flags too; fails the test with its last words unless it ends well.
  void train(const std::vector<std::string>& flags = {});
  std::filesystem::path out() const { return folder_ / "out"; }
  std::string said() const;  // by skarv train

  // Mean loss of each step over all sites' tokens.
  std::vector<double> losses() const;
  // All values of a section of a site's newest checkpoint, in the order of the parameters.
  std::vector<float> checkpointed(const std::string& site, const std::string& section) const;

 private:
  std::filesystem::path folder_;
  std::vector<std::string> sites_;
};

// |a - b| / |a|, in double.
double distance(const std::vector<float>& a, const std::vector<float>& b);
// The whole of `text` that a program printed, or a failed test.
std::string output_of(const std::vector<std::string>& command);

}  // namespace skarv::testing
