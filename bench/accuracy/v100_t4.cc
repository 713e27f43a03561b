// GPT-2 in fp16 by DeepSpeed's pipelines and Megatron-LM on three machines of four V100 and one of
// four T4. The host's time for a forward pass of a layer is what was measured at microbatch 1,
// where launching is what takes long; larger microbatches meet the roofline, with the fractions of
// the A100 unchanged.
#include <algorithm>
#include <map>

#include "accuracy/framework_step.h"
#include "accuracy/sets.h"
#include "base/text.h"
#include "plan/cost/roofline.h"
#include "plan/tables/csv.h"

namespace skarv::accuracy {
namespace {

constexpr int kNode = 4, kNumV100 = 12, kNumChips = 16, kGlobalBatch = 32;
constexpr int64_t kHidden = 1024, kHeads = 16, kSequence = 1024, kVocabulary = 52256;
// The pieces that stage boundaries count: embedding, a cast, the blocks, two casts, head, loss.
constexpr int kNumPieces = 30, kFirstBlock = 2, kNumBlocks = 24, kEmbedding = 0, kHead = 28;
constexpr int64_t kGradientBytes = 2;
constexpr double kGigabit = 1e9 / 8;

struct ChipType {
  std::string name;  // as in v100_t4_layer.csv
  ChipRates rates;
  double inside, network;        // bytes/s: to a neighbour in the machine; of the machine's port
  std::map<int, double> host_s;  // forward of a block, by tensor parallel
};

struct DeepSpeedRun {
  int tensor_parallel, data_parallel, pipeline_parallel, microbatch;
  std::vector<int> cuts;
};

int node_of(int chip) { return chip / kNode; }

class Pricer {
 public:
  Pricer(ChipType v100, ChipType t4, const HardwareConstants& constants)
      : v100_(std::move(v100)), t4_(std::move(t4)), constants_(constants) {}

  Result<double> price(const DeepSpeedRun& run) const {
    FrameworkStep step;
    step.gradient_before_activation = true;
    step.num_microbatches = kGlobalBatch / run.data_parallel / run.microbatch;
    step.message_bytes = run.microbatch * kSequence * kHidden * 2;
    step.step_ns = std::llround(constants_.step_ms * 1e6);
    for (int node = 0; node < kNumChips / kNode; ++node) {
      const auto capacity = static_cast<int64_t>(port(node * kNode));
      step.wires.push_back({cat("machine ", node, " out"), capacity, 1});
      step.wires.push_back({cat("machine ", node, " in"), capacity, 1});
    }
    for (int replica = 0; replica < run.data_parallel; ++replica) {
      std::vector<StageTimes>& pipeline = step.pipelines.emplace_back();
      for (int stage = 0; stage < run.pipeline_parallel; ++stage) {
        SKARV_ASSIGN(StageTimes times, stage_times(run, replica, stage, step.message_bytes));
        if (stage + 1 < run.pipeline_parallel) {
          connect(times, first_chip(run, replica, stage), first_chip(run, replica, stage + 1));
        }
        pipeline.push_back(std::move(times));
      }
    }
    for (int stage = 0; stage < run.pipeline_parallel; ++stage) {
      step.reduce_ns.push_back(reduce_ns(run, stage));
    }
    SKARV_ASSIGN(const int64_t ns, play_step(step));
    return static_cast<double>(ns) * 1e-9;
  }

 private:
  // Ranks run through tensor parallel, then data parallel, then stages; machines in order.
  static int first_chip(const DeepSpeedRun& run, int replica, int stage) {
    return (stage * run.data_parallel + replica) * run.tensor_parallel;
  }
  const ChipType& type_of(int chip) const { return chip < kNumV100 ? v100_ : t4_; }
  double port(int chip) const { return type_of(chip).network * constants_.network_fraction; }

  GroupShape inside(int chip, int devices) const {
    GroupShape group;
    group.num_devices = group.devices_per_host = devices;
    group.inside = LinkCost(type_of(chip).inside, constants_.hop_ns());
    return group;
  }

  Result<StageTimes> stage_times(const DeepSpeedRun& run, int replica, int stage,
                                 int64_t message_bytes) const {
    const int chip = first_chip(run, replica, stage), degree = run.tensor_parallel;
    const ChipType& type = type_of(chip);
    const auto host = type.host_s.find(degree);
    if (host == type.host_s.end()) {
      return Status(Code::kNotFound, Scope::kConfig,
                    cat("no layer measured on ", type.name, " with tensor_parallel ", degree));
    }
    const auto shape = TransformerShape::gpt(kHidden, kHeads, kVocabulary, kSequence);
    const GroupShape group = inside(chip, degree);
    const auto reduction_s = [&](const PassWork& work) {
      if (work.num_reductions == 0) return 0.0;
      return static_cast<double>(collective_ns(Collective::kAllReduce, work.reduced_bytes, group)) *
             1e-9;
    };
    const auto device_s = [&](const PassWork& work) {
      return device_seconds(work, type.rates, reduction_s(work));
    };
    const LayerWork block = block_work(shape, run.microbatch, degree);
    const double block_forward = std::max(device_s(block.forward), host->second);
    // Activations are recomputed, layer by layer.
    const double block_backward =
        block_forward + std::max(device_s(block.backward_input) + device_s(block.backward_weight),
                                 host->second * constants_.autograd_fraction);
    const int first = run.cuts[stage], last = run.cuts[stage + 1];
    const int num_blocks = std::clamp(last, kFirstBlock, kFirstBlock + kNumBlocks) -
                           std::clamp(first, kFirstBlock, kFirstBlock + kNumBlocks);
    double forward = num_blocks * block_forward, backward = num_blocks * block_backward;
    if (first <= kHead && kHead < last) {
      const LayerWork head = head_work(shape, run.microbatch, degree);
      forward += device_s(head.forward);
      backward += device_s(head.backward_input) + device_s(head.backward_weight);
    }
    const double gather =
        static_cast<double>(collective_ns(Collective::kAllGather, message_bytes, group)) * 1e-9;
    if (stage > 0) forward += gather;
    if (stage + 1 < run.pipeline_parallel) backward += gather;
    StageTimes times;
    times.forward_ns = std::llround(forward * 1e9);
    times.backward_ns = std::llround(backward * 1e9);
    const PassWork update = update_work(static_cast<double>(parameters(run, stage)) / degree);
    times.update_ns = std::llround(device_seconds(update, type.rates, 0) * 1e9);
    return times;
  }

  static int64_t parameters(const DeepSpeedRun& run, int stage) {
    const auto shape = TransformerShape::gpt(kHidden, kHeads, kVocabulary, kSequence);
    int64_t sum = 0;
    for (int piece = run.cuts[stage]; piece < run.cuts[stage + 1]; ++piece) {
      if (piece == kEmbedding || piece == kHead) sum += kVocabulary * kHidden;
      if (piece >= kFirstBlock && piece < kFirstBlock + kNumBlocks) sum += shape.block_parameters();
    }
    // One stage has both ends and one table.
    return run.pipeline_parallel == 1 ? sum - kVocabulary * kHidden : sum;
  }

  void connect(StageTimes& times, int from, int to) const {
    if (node_of(from) == node_of(to)) {
      times.to_next = LinkCost(type_of(from).inside, constants_.hop_ns());
      return;
    }
    times.to_next = LinkCost(std::min(port(from), port(to)), constants_.hop_ns());
    times.forward_wires = {{2 * node_of(from), 1}, {2 * node_of(to) + 1, 1}};
    times.backward_wires = {{2 * node_of(to), 1}, {2 * node_of(from) + 1, 1}};
  }

  int64_t reduce_ns(const DeepSpeedRun& run, int stage) const {
    GroupShape group;
    group.num_devices = run.data_parallel;
    const int first = first_chip(run, 0, stage);
    const int last = first_chip(run, run.data_parallel - 1, stage);
    group.devices_per_host = std::min(kNode / run.tensor_parallel, run.data_parallel);
    group.num_sharing = run.tensor_parallel;
    group.inside =
        LinkCost(std::min(type_of(first).inside, type_of(last).inside), constants_.hop_ns());
    group.between = LinkCost(std::min(port(first), port(last)), constants_.hop_ns());
    return collective_ns(Collective::kAllReduce,
                         parameters(run, stage) / run.tensor_parallel * kGradientBytes, group);
  }

  ChipType v100_, t4_;
  HardwareConstants constants_;
};

Result<ChipType> chip_type(const CsvTable& table, const std::string& name,
                           const std::string& catalog_name, double inside_gigabit,
                           double network_gigabit, const HardwareConstants& constants) {
  SKARV_ASSIGN(const Chip chip, find_chip(catalog_name));
  ChipType type{
      name, rates_of(chip, constants), inside_gigabit * kGigabit, network_gigabit * kGigabit, {}};
  SKARV_ASSIGN(const int chip_column, table.column("chip"));
  SKARV_ASSIGN(const int degree_column, table.column("tensor_parallel"));
  SKARV_ASSIGN(const int forward_column, table.column("forward_s"));
  for (int i = 0; i < table.num_rows(); ++i) {
    const CsvRow row = table.row(i);
    if (row.text(chip_column) != name) continue;
    SKARV_ASSIGN(const int64_t degree, row.integer(degree_column, 1, kNode));
    SKARV_ASSIGN(type.host_s[static_cast<int>(degree)], row.number(forward_column, 1e-9));
  }
  return type;
}

Result<DeepSpeedRun> run_of(const CsvTable& table, const CsvRow& row) {
  DeepSpeedRun run;
  for (const auto& [name, field] : {std::pair("tensor_parallel", &run.tensor_parallel),
                                    std::pair("data_parallel", &run.data_parallel),
                                    std::pair("pipeline_parallel", &run.pipeline_parallel),
                                    std::pair("micro_batch", &run.microbatch)}) {
    SKARV_ASSIGN(const int column, table.column(name));
    SKARV_ASSIGN(const int64_t value, row.integer(column, 1, kGlobalBatch));
    *field = static_cast<int>(value);
  }
  SKARV_ASSIGN(const int cuts_column, table.column("stage_boundaries"));
  for (const std::string& cut : split(row.text(cuts_column), ' ')) {
    run.cuts.push_back(std::atoi(cut.c_str()));
  }
  if (run.tensor_parallel * run.data_parallel * run.pipeline_parallel != kNumChips ||
      kNode % run.tensor_parallel != 0 ||
      kGlobalBatch % (run.data_parallel * run.microbatch) != 0) {
    return row.error("degrees that do not fit 16 chips in machines of four, or the batch of 32");
  }
  if (static_cast<int>(run.cuts.size()) != run.pipeline_parallel + 1 || run.cuts.front() != 0 ||
      run.cuts.back() != kNumPieces ||
      !std::ranges::is_sorted(run.cuts, std::ranges::less_equal{})) {
    return row.error(cat("not the boundaries of ", run.pipeline_parallel, " stages"), cuts_column);
  }
  return run;
}

}  // namespace

Result<Set> v100_t4(const std::filesystem::path& folder, const Constants& constants) {
  SKARV_ASSIGN(const HardwareConstants hardware, constants.of("v100_t4"));
  SKARV_ASSIGN(const CsvTable layers, CsvTable::read(folder / "v100_t4_layer.csv"));
  SKARV_ASSIGN(const CsvTable table, CsvTable::read(folder / "v100_t4_gpt2.csv"));
  SKARV_ASSIGN(ChipType v100, chip_type(layers, "V100", "v100-sxm2-16", 170, 10, hardware));
  SKARV_ASSIGN(ChipType t4, chip_type(layers, "T4", "t4", 50, 50, hardware));
  SKARV_ASSIGN(const int measured, table.column("measured_s"));
  const Pricer pricer(std::move(v100), std::move(t4), hardware);
  Set set{"V100 + T4", {}};
  for (int i = 0; i < table.num_rows(); ++i) {
    const CsvRow row = table.row(i);
    if (row.text(measured).starts_with("FAIL")) continue;
    SKARV_ASSIGN(const DeepSpeedRun run, run_of(table, row));
    Row result;
    SKARV_ASSIGN(result.measured_s, row.number(measured, 1e-6));
    const Result<double> price = pricer.price(run);
    if (!price.ok()) return row.error(price.status().message());
    result.predicted_s = *price;
    result.label = cat("tp", run.tensor_parallel, " dp", run.data_parallel, " pp",
                       run.pipeline_parallel, " micro ", run.microbatch);
    result.judged = set.rows.size() % 2 == 1;  // every second row is for calibration
    set.rows.push_back(std::move(result));
  }
  return set;
}

}  // namespace skarv::accuracy
