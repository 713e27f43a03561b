// GPT in fp16 by Megatron-LM on A100 machines of eight: everything but the all-reduces inside a
// machine is estimated by the roofline, with the constants of "a100".
#include <algorithm>

#include "accuracy/framework_step.h"
#include "accuracy/sets.h"
#include "base/text.h"
#include "plan/cost/roofline.h"
#include "plan/tables/csv.h"

namespace skarv::accuracy {
namespace {

constexpr int kNode = 8;
constexpr double kNetwork = 4 * 25e9;  // four HDR adapters a machine, bytes/s each way
constexpr int64_t kWeightBytes = 2;

// What the files do not say. Their notes say "fp16, full recompute" of both sets; why the
// single-node rows are taken to be without: docs/accuracy.md.
struct Framework {
  int64_t vocabulary;
  bool recompute;
};
constexpr Framework kMultiNode = {51200, true};    // GPT-2's, padded as Megatron-LM does
constexpr Framework kSingleNode = {50257, false};  // GPT-2's, cut without padding

struct MegatronRun {
  int gpus, global_batch, microbatch, hidden, heads, layers, sequence;
  int tensor_parallel, data_parallel, pipeline_parallel;

  int num_microbatches() const { return global_batch / data_parallel / microbatch; }
  int layers_in_stage() const { return layers / pipeline_parallel; }
  bool fits() const {
    return gpus == tensor_parallel * data_parallel * pipeline_parallel &&
           global_batch % (data_parallel * microbatch) == 0 && layers % pipeline_parallel == 0 &&
           hidden % heads == 0 && heads % tensor_parallel == 0;
  }
};

// Time of an all-reduce inside a machine, as measured, by the number of members.
using InNode = std::map<int, LinkCost>;

Result<InNode> read_in_node(const std::filesystem::path& path, const std::string& chip) {
  SKARV_ASSIGN(const CsvTable table, CsvTable::read(path));
  SKARV_ASSIGN(const int chip_column, table.column("chip"));
  SKARV_ASSIGN(const int devices_column, table.column("devices"));
  SKARV_ASSIGN(const int bytes_column, table.column("bytes"));
  SKARV_ASSIGN(const int time_column, table.column("nanoseconds"));
  std::map<int, std::vector<LinkPoint>> points;
  std::map<int, double> longest;
  for (int i = 0; i < table.num_rows(); ++i) {
    const CsvRow row = table.row(i);
    if (row.text(chip_column) != chip) continue;
    SKARV_ASSIGN(const int64_t devices, row.integer(devices_column, 2, 1024));
    SKARV_ASSIGN(const int64_t bytes, row.integer(bytes_column, 1));
    SKARV_ASSIGN(const double ns, row.number(time_column, 1));
    // Below a few MB the measured times jitter: more bytes never take less.
    double& most = longest[static_cast<int>(devices)];
    most = std::max(most, ns);
    points[static_cast<int>(devices)].push_back({bytes, static_cast<double>(bytes) * 1e9 / most});
  }
  InNode result;
  for (const auto& [devices, list] : points) {
    const Result<LinkCost> curve = LinkCost::from_points(list, 0);
    if (!curve.ok()) return curve.status().at(path.string());
    result.emplace(devices, *curve);
  }
  if (!result.contains(kNode)) {
    return config_error(cat("no all-reduce of ", kNode, " ", chip)).at(path.string());
  }
  return result;
}

class Pricer {
 public:
  Pricer(const ChipRates& rates, const HardwareConstants& constants, InNode in_node)
      : rates_(rates), in_node_(std::move(in_node)) {
    network_ = LinkCost(kNetwork * constants.network_fraction, constants.hop_ns());
    // One chip's link, from what a large all-reduce moves.
    const int64_t bytes = int64_t{1} << 30;
    const double moved = 2.0 * (kNode - 1) / kNode * static_cast<double>(bytes);
    chip_link_ = LinkCost(moved * 1e9 / static_cast<double>(in_node_.at(kNode).transfer_ns(bytes)),
                          constants.hop_ns());
  }

  Result<double> price(const MegatronRun& run, const Framework& framework) const {
    const auto shape =
        TransformerShape::gpt(run.hidden, run.heads, framework.vocabulary, run.sequence);
    const int degree = run.tensor_parallel, num_stages = run.pipeline_parallel;
    FrameworkStep step;
    step.num_microbatches = run.num_microbatches();
    step.message_bytes = int64_t{run.microbatch} * run.sequence * run.hidden * shape.element_bytes;
    std::vector<StageTimes>& stages = step.pipelines.emplace_back();
    const LayerWork block = block_work(shape, run.microbatch, degree);
    for (int s = 0; s < num_stages; ++s) {
      double forward = run.layers_in_stage() * forward_s(block, run);
      double backward = run.layers_in_stage() * backward_s(block, run);
      if (framework.recompute) backward += forward;
      int64_t parameters = run.layers_in_stage() * shape.block_parameters();
      const int64_t table = shape.vocabulary * shape.hidden;
      if (s == 0) {
        const LayerWork work = embedding_work(shape, run.microbatch, degree);
        forward += forward_s(work, run);
        backward += backward_s(work, run);
        parameters += table;
      }
      if (s + 1 == num_stages) {
        const LayerWork work = head_work(shape, run.microbatch, degree);
        forward += forward_s(work, run);
        backward += backward_s(work, run);
        if (num_stages > 1) parameters += table;
      }
      StageTimes& times = stages.emplace_back();
      if (s > 0) forward += gather_s(step.message_bytes, degree);
      if (s + 1 < num_stages) backward += gather_s(step.message_bytes, degree);
      times.forward_ns = std::llround(forward * 1e9);
      times.backward_ns = std::llround(backward * 1e9);
      PassWork update = update_work(static_cast<double>(parameters) / degree);
      update.num_operations = run.layers_in_stage();
      times.update_ns = std::llround(device_seconds(update, rates_, 0) * 1e9);
      times.to_next = border(run, s);
      int64_t reduce = reduce_ns(run, parameters / degree * kWeightBytes);
      // Both copies of the tied table are added up.
      if (num_stages > 1 && (s == 0 || s + 1 == num_stages)) {
        reduce += pair_ns(run, table / degree * kWeightBytes);
      }
      step.reduce_ns.push_back(reduce);
    }
    SKARV_ASSIGN(const int64_t ns, play_step(step));
    return static_cast<double>(ns) * 1e-9;
  }

 private:
  double forward_s(const LayerWork& work, const MegatronRun& run) const {
    return pass_seconds(work.forward, rates_, reduction_s(work.forward, run));
  }
  // Both halves are launched together.
  double backward_s(const LayerWork& work, const MegatronRun& run) const {
    const PassWork& input = work.backward_input;
    const double device = device_seconds(input, rates_, reduction_s(input, run)) +
                          device_seconds(work.backward_weight, rates_, 0);
    return std::max(device,
                    host_seconds(input, rates_) + host_seconds(work.backward_weight, rates_));
  }

  double reduction_s(const PassWork& work, const MegatronRun& run) const {
    if (work.num_reductions == 0) return 0;
    return static_cast<double>(all_reduce_ns(work.reduced_bytes, run.tensor_parallel, kNode, 1)) *
           1e-9;
  }

  int64_t all_reduce_ns(int64_t bytes, int devices, int on_host, int sharing) const {
    if (devices <= on_host) {
      if (const auto measured = in_node_.find(devices); measured != in_node_.end()) {
        return measured->second.transfer_ns(bytes);
      }
    }
    GroupShape group;
    group.num_devices = devices;
    group.devices_per_host = std::min(on_host, devices);
    group.inside = chip_link_;
    group.between = network_;
    group.num_sharing = sharing;
    return collective_ns(Collective::kAllReduce, bytes, group);
  }

  // Gradients of one chip, over the replicas of its stage; the ranks of a tensor-parallel group
  // each have a group of their own, which share the machine's adapters.
  int64_t reduce_ns(const MegatronRun& run, int64_t bytes) const {
    if (run.data_parallel == 1) return 0;
    const int in_node = std::min(run.tensor_parallel, kNode);
    return all_reduce_ns(bytes, run.data_parallel, kNode / in_node, in_node);
  }
  int64_t pair_ns(const MegatronRun& run, int64_t bytes) const {
    return all_reduce_ns(bytes, 2, run.gpus <= kNode ? 2 : 1, kNode);
  }

  // A message is cut over the ranks of its group, which then gather it.
  double gather_s(int64_t bytes, int degree) const {
    GroupShape group;
    group.num_devices = group.devices_per_host = std::min(degree, kNode);
    group.inside = chip_link_;
    return static_cast<double>(collective_ns(Collective::kAllGather, bytes, group)) * 1e-9;
  }

  // Ranks run through tensor parallel, then data parallel, then stages. All groups of a machine
  // send at the same time.
  LinkCost border(const MegatronRun& run, int stage) const {
    const int stride = run.tensor_parallel * run.data_parallel;
    if (stage * stride / kNode == (stage + 1) * stride / kNode) return chip_link_;
    return LinkCost(network_.bandwidth * run.tensor_parallel / kNode, network_.latency_ns);
  }

  ChipRates rates_;
  InNode in_node_;
  LinkCost network_, chip_link_;
};

Result<MegatronRun> run_of(const CsvTable& table, const CsvRow& row) {
  MegatronRun run;
  for (const auto& [name, field] :
       {std::pair("gpus", &run.gpus), std::pair("global_batch", &run.global_batch),
        std::pair("micro_batch", &run.microbatch), std::pair("hidden", &run.hidden),
        std::pair("heads", &run.heads), std::pair("layers", &run.layers),
        std::pair("sequence", &run.sequence), std::pair("tensor_parallel", &run.tensor_parallel),
        std::pair("data_parallel", &run.data_parallel),
        std::pair("pipeline_parallel", &run.pipeline_parallel)}) {
    SKARV_ASSIGN(const int column, table.column(name));
    SKARV_ASSIGN(const int64_t value, row.integer(column, 1, 1 << 20));
    *field = static_cast<int>(value);
  }
  if (!run.fits()) return row.error("sizes that do not divide each other");
  return run;
}

template <typename Judged>
Result<Set> read_set(const std::string& name, const std::filesystem::path& folder,
                     const std::string& file, const Framework& framework,
                     const Constants& constants, Judged judged) {
  SKARV_ASSIGN(const HardwareConstants hardware, constants.of("a100"));
  SKARV_ASSIGN(const Chip chip, find_chip("a100-sxm-80"));
  SKARV_ASSIGN(InNode in_node, read_in_node(folder / "allreduce_in_node.csv", "a100"));
  SKARV_ASSIGN(const CsvTable table, CsvTable::read(folder / file));
  SKARV_ASSIGN(const int measured, table.column("iteration_ms"));
  const Pricer pricer(rates_of(chip, hardware), hardware, std::move(in_node));
  Set set{name, {}};
  for (int i = 0; i < table.num_rows(); ++i) {
    const CsvRow row = table.row(i);
    SKARV_ASSIGN(const MegatronRun run, run_of(table, row));
    Row result;
    SKARV_ASSIGN(const double milliseconds, row.number(measured, 1e-6));
    result.measured_s = milliseconds * 1e-3;
    const Result<double> price = pricer.price(run, framework);
    if (!price.ok()) return row.error(price.status().message());
    result.predicted_s = *price;
    result.label = cat("h", run.hidden, " L", run.layers, " batch ", run.global_batch, " micro ",
                       run.microbatch, " tp", run.tensor_parallel, " dp", run.data_parallel, " pp",
                       run.pipeline_parallel);
    SKARV_ASSIGN(result.judged, judged(table, row, i));
    set.rows.push_back(std::move(result));
  }
  return set;
}

}  // namespace

Result<Set> a100_multi_node(const std::filesystem::path& folder, const Constants& constants) {
  // 3.6B and 18.4B are for calibration.
  const auto judged = [](const CsvTable& table, const CsvRow& row, int) -> Result<bool> {
    SKARV_ASSIGN(const int column, table.column("parameters_billion"));
    SKARV_ASSIGN(const double billions, row.number(column));
    return billions > 30;
  };
  return read_set("A100 multi-node", folder, "a100_megatron_multi_node.csv", kMultiNode, constants,
                  judged);
}

Result<Set> a100_single_node(const std::filesystem::path& folder, const Constants& constants) {
  // Every second row is for calibration.
  const auto judged = [](const CsvTable&, const CsvRow&, int i) -> Result<bool> {
    return i % 2 == 1;
  };
  return read_set("A100 single-node", folder, "a100_megatron_single_node.csv", kSingleNode,
                  constants, judged);
}

}  // namespace skarv::accuracy
