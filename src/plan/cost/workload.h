// A model as planner and simulator see it: a row of layers with sizes and times, whatever the
// layers are. Times and bytes hold for one microbatch on each device of a tensor-parallel group, at
// full speed (pace divides elsewhere).
//
// Immutable once made; reading it is safe from any thread. Layers that cost the same everywhere
// share a `kind`, so that a model of 126 equal blocks is three kinds.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "spec/profile.h"
#include "spec/run.h"

namespace skarv {

struct LayerSize {
  int64_t parameters = 0;    // a tied matrix counts with the first layer that uses it
  int64_t output_bytes = 0;  // activation at its end, one sample, compute precision; of the last: 0
};

struct LayerCost {
  int64_t forward_ns = 0, backward_input_ns = 0, backward_weight_ns = 0;
  int64_t update_ns = 0;        // optimizer step of the layer's parameters, fully owned, / tp
  int64_t kept_bytes = 0;       // from forward to backward, without recomputation
  int64_t transient_bytes = 0;  // only while it runs
};

// The same as measured, or estimated, for one size of microbatch: seconds and bytes.
struct MeasuredLayer {
  int microbatch = 1;
  double forward = 0, backward_input = 0, backward_weight = 0, update = 0;
  double kept_bytes = 0, transient_bytes = 0;
};

class Workload {
 public:
  // Times measured by `skarv probe` or written by hand. Never fails on a gap of the profile: cost()
  // does, for what is asked. Error: a profile of another model, a figure beyond all measure.
  static Result<Workload> from_run(const Run& run, const Profile& profile);

  // For other sources: the row of layers, each with its kind (0, 1, ...); then add() what is known.
  Workload(int64_t tokens_per_sample, std::vector<LayerSize> sizes, std::vector<int> kinds);
  void add(const std::string& chip, int kind, int tensor_parallel, const MeasuredLayer& layer);
  void mark_estimated(const std::string& chip);
  // What messages call the kinds: "block". Without it they are named by a layer.
  void name_kinds(std::vector<std::string> names) { kind_names_ = std::move(names); }

  int num_layers() const { return static_cast<int>(sizes_.size()); }
  int64_t tokens_per_sample() const { return tokens_per_sample_; }
  const LayerSize& size(int layer) const { return sizes_[layer]; }
  int64_t num_parameters() const;
  // The layer whose matrix this one uses as well (a tied head uses the embedding's), or -1.
  int tied_with(int layer) const { return layer + 1 == num_layers() ? tied_with_ : -1; }
  int kind(int layer) const { return kinds_[layer]; }
  int num_kinds() const { return num_kinds_; }

  // Linear in the microbatch between two measured sizes; beyond the largest in proportion to it;
  // below the smallest that one's, an upper bound. Nanoseconds are rounded once, here. Error:
  // kNotFound with the nearest there are.
  Result<LayerCost> cost(const std::string& chip, int layer, int microbatch,
                         int tensor_parallel) const;
  bool is_estimated(const std::string& chip) const;
  // Microbatch sizes measured for this kind, ascending; empty when there is none.
  std::vector<int> microbatches(const std::string& chip, int kind, int tensor_parallel) const;
  // Degrees of tensor parallelism known for all kinds of layers, ascending.
  std::vector<int> tensor_parallels(const std::string& chip) const;

 private:
  struct ChipTimes {
    bool is_estimated = false;
    // By kind and tensor parallel; ascending by microbatch.
    std::map<std::pair<int, int>, std::vector<MeasuredLayer>> layers;
  };
  Status absent(const std::string& chip, int layer, int tensor_parallel) const;

  int64_t tokens_per_sample_;
  std::vector<LayerSize> sizes_;
  std::vector<int> kinds_;
  int num_kinds_ = 0, tied_with_ = -1;
  std::vector<std::string> kind_names_;
  std::map<std::string, ChipTimes> chips_;
};

}  // namespace skarv
