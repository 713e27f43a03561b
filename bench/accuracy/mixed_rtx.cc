// OPT-350M in fp32 on unlike RTX machines, DeepSpeed's pipelines. No constants: layer times,
// message sizes and links are all measured.
#include <algorithm>
#include <map>

#include "accuracy/framework_step.h"
#include "accuracy/sets.h"
#include "base/text.h"
#include "plan/cost/collective.h"
#include "plan/tables/layer_tables.h"

namespace skarv::accuracy {
namespace {

const char* const kZone =
    "us-central1-a";  // the tables' name for the one place all machines are in

struct Replica {
  std::string chip;
  int chips_in_node = 1, tensor_parallel = 1;
};
struct PlanStage {
  int first = 0, last = 0;  // layers, both included
  std::vector<Replica> replicas;
};

Result<std::vector<PlanStage>> stages_of(const Json& plan, int num_layers) {
  std::vector<PlanStage> stages;
  for (const Json& item : plan.at("stages")) {
    PlanStage& stage = stages.emplace_back();
    stage.first = item.at("layers").at(0);
    stage.last = item.at("layers").at(1);
    bool is_sound = true;
    for (const Json& replica : item.at("replicas")) {
      stage.replicas.push_back(
          {replica.at("chip"), replica.at("chips_in_node"), replica.at("tensor_parallel")});
      is_sound &= stage.replicas.back().tensor_parallel >= 1;
    }
    if (!is_sound || stage.first < 0 || stage.last < stage.first || stage.last >= num_layers ||
        stage.replicas.size() != stages.front().replicas.size() || stage.replicas.empty()) {
      return config_error(cat("stage ", stages.size() - 1, " makes no sense"));
    }
  }
  if (stages.empty()) return config_error("no stages");
  return stages;
}

class Pricer {
 public:
  Pricer(const Workload& workload, const NetworkTable& network, int64_t gradient_bytes)
      : workload_(workload), network_(network), gradient_bytes_(gradient_bytes) {}

  Result<double> price(const std::vector<PlanStage>& stages, int global_batch, int microbatch) {
    const size_t num_replicas = stages.front().replicas.size();
    if (microbatch < 1 || global_batch < microbatch * static_cast<int64_t>(num_replicas)) {
      return config_error(cat("a batch of ", global_batch, " in microbatches of ", microbatch));
    }
    FrameworkStep step;
    step.gradient_before_activation = true;
    step.num_microbatches = global_batch / microbatch / static_cast<int>(num_replicas);
    step.message_bytes = workload_.size(0).output_bytes * microbatch;
    for (size_t r = 0; r < num_replicas; ++r) {
      std::vector<StageTimes>& pipeline = step.pipelines.emplace_back();
      for (size_t s = 0; s < stages.size(); ++s) {
        SKARV_ASSIGN(StageTimes times,
                     stage_times(stages[s], stages[s].replicas[r], microbatch, step.message_bytes,
                                 s > 0, s + 1 < stages.size()));
        if (s + 1 < stages.size()) {
          SKARV_ASSIGN(times.to_next, link(stages[s].replicas[r], stages[s + 1].replicas[r]));
        }
        pipeline.push_back(std::move(times));
      }
      add_ports(step, pipeline);
    }
    for (const PlanStage& stage : stages) {
      SKARV_ASSIGN(const int64_t reduce, reduce_ns(stage));
      step.reduce_ns.push_back(reduce);
    }
    SKARV_ASSIGN(const int64_t ns, play_step(step));
    return static_cast<double>(ns) * 1e-9;
  }

 private:
  Result<LinkCost> link(const Replica& from, const Replica& to) const {
    return network_.between({from.chip, from.chips_in_node, kZone},
                            {to.chip, to.chips_in_node, kZone});
  }

  // Each chip of a group receives its part of a message; then they gather it.
  Result<StageTimes> stage_times(const PlanStage& stage, const Replica& replica, int microbatch,
                                 int64_t message_bytes, bool has_source, bool has_target) const {
    StageTimes times;
    for (int layer = stage.first; layer <= stage.last; ++layer) {
      SKARV_ASSIGN(const LayerCost cost,
                   workload_.cost(replica.chip, layer, microbatch, replica.tensor_parallel));
      times.forward_ns += cost.forward_ns;
      times.backward_ns += cost.backward_input_ns + cost.backward_weight_ns;
      times.update_ns += cost.update_ns;
    }
    if (replica.tensor_parallel > 1) {
      GroupShape group;
      group.num_devices = group.devices_per_host = replica.tensor_parallel;
      SKARV_ASSIGN(group.inside, network_.in_node(replica.chip, replica.chips_in_node));
      const int64_t gather = collective_ns(Collective::kAllGather, message_bytes, group);
      if (has_source) times.forward_ns += gather;
      if (has_target) times.backward_ns += gather;
    }
    return times;
  }

  // A machine reaches all others through one port, both ways at once.
  static void add_ports(FrameworkStep& step, std::vector<StageTimes>& pipeline) {
    const auto first = static_cast<int>(step.wires.size());
    for (size_t s = 0; s < pipeline.size(); ++s) {
      double bandwidth = s > 0 ? pipeline[s - 1].to_next.bandwidth : 0;
      if (s + 1 < pipeline.size()) bandwidth = std::max(bandwidth, pipeline[s].to_next.bandwidth);
      for (const char* way : {" out", " in"}) {
        step.wires.push_back({cat("machine", way), static_cast<int64_t>(bandwidth), 1});
      }
    }
    for (size_t s = 0; s + 1 < pipeline.size(); ++s) {
      const int here = first + 2 * static_cast<int>(s), next = here + 2;
      pipeline[s].forward_wires = {{here, 1}, {next + 1, 1}};
      pipeline[s].backward_wires = {{next, 1}, {here + 1, 1}};
    }
  }

  // Every chip of a replica is in a ring of its own with its fellows of the other replicas; the
  // rings share the machines' ports and go as fast as the slowest link between any two of them.
  Result<int64_t> reduce_ns(const PlanStage& stage) const {
    GroupShape group;
    group.num_devices = static_cast<int>(stage.replicas.size());
    group.num_sharing = stage.replicas.front().tensor_parallel;
    for (const Replica& from : stage.replicas) {
      for (const Replica& to : stage.replicas) {
        if (&from == &to) continue;
        SKARV_ASSIGN(const LinkCost one, link(from, to));
        if (group.between.bandwidth == 0 || one.bandwidth < group.between.bandwidth) {
          group.between = one;
        }
      }
    }
    int64_t parameters = 0;
    for (int layer = stage.first; layer <= stage.last; ++layer) {
      parameters += workload_.size(layer).parameters;
    }
    return collective_ns(Collective::kAllReduce, parameters * gradient_bytes_ / group.num_sharing,
                         group);
  }

  const Workload& workload_;
  const NetworkTable& network_;
  int64_t gradient_bytes_;
};

// The tables leave the unit out: OPT-350M is OPT-350 there.
std::string table_name(std::string model) {
  if (model.ends_with('M') || model.ends_with('B')) model.pop_back();
  return model;
}

}  // namespace

Result<Set> mixed_rtx(const std::filesystem::path& folder) {
  SKARV_ASSIGN(const CsvTable times, CsvTable::read(folder / "layer_profiles.csv"));
  SKARV_ASSIGN(const CsvTable sizes, CsvTable::read(folder / "layer_sizes.csv"));
  SKARV_ASSIGN(const CsvTable links, CsvTable::read(folder / "networks.csv"));
  SKARV_ASSIGN(const NetworkTable network, NetworkTable::from_csv(links));
  const std::string origin = (folder / "mixed_rtx_opt350m.json").string();
  SKARV_ASSIGN(const Json json, read_json(origin));
  Set set{"mixed RTX", {}};
  try {
    SKARV_ASSIGN(
        const Workload workload,
        workload_from_tables(times, sizes, table_name(json.at("model")), json.at("sequence")));
    Pricer pricer(workload, network, json.at("precision") == "fp32" ? 4 : 2);
    for (const Json& plan : json.at("plans")) {
      Row row;
      row.label = plan.at("name");
      row.measured_s = plan.at("measured").at("seconds_per_iteration");
      row.judged = row.label != "N3_D1";  // reports a reduction with one replica: in doubt
      const Result<std::vector<PlanStage>> stages = stages_of(plan, workload.num_layers());
      if (!stages.ok()) return stages.status().at(cat(origin, ": ", row.label));
      const Result<double> price =
          pricer.price(*stages, plan.at("global_batch"), plan.at("micro_batch"));
      if (!price.ok()) return price.status().at(cat(origin, ": ", row.label));
      row.predicted_s = *price;
      set.rows.push_back(std::move(row));
    }
  } catch (const Json::exception& error) {
    return config_error(error.what()).at(origin);
  }
  return set;
}

}  // namespace skarv::accuracy
