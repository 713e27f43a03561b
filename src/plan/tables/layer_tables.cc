#include "plan/tables/layer_tables.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"

namespace skarv {
namespace {

constexpr int64_t kMaxLayers = 100'000;
constexpr double kMaxSeconds = 1e6;

struct Sizes {
  std::vector<LayerSize> layers;
  std::vector<double> kept_bytes;  // one sample, whole layer
  std::vector<int> kinds;
};

Status no_model(const CsvTable& table, const std::string& model,
                const std::set<std::string>& known) {
  const std::vector<std::string> names(known.begin(), known.end());
  const std::string near = nearest_name(model, names);
  return Status(Code::kNotFound, Scope::kConfig, cat("no model ", model))
      .at(table.origin())
      .with_hint(near.empty() ? cat("it has ", join(names, ", ")) : cat("is it ", near, "?"));
}

Result<Sizes> read_sizes(const CsvTable& table, const std::string& model) {
  const char* degree = table.has_column("tensor_parallel") ? "tensor_parallel" : "micro_batch";
  SKARV_ASSIGN(const int model_column, table.column("model"));
  SKARV_ASSIGN(const int degree_column, table.column(degree));
  SKARV_ASSIGN(const int layer_column, table.column("layer"));
  SKARV_ASSIGN(const int parameters_column, table.column("parameters"));
  SKARV_ASSIGN(const int output_column, table.column("activation_out_bytes"));
  SKARV_ASSIGN(const int memory_column, table.column("activation_memory_bytes"));
  struct Layer {
    LayerSize size;
    double kept;
  };
  std::map<int64_t, std::map<int64_t, Layer>> by_degree;
  std::set<std::string> known;
  for (int i = 0; i < table.num_rows(); ++i) {
    const CsvRow row = table.row(i);
    known.insert(row.text(model_column));
    if (row.text(model_column) != model) continue;
    SKARV_ASSIGN(const int64_t at_degree, row.integer(degree_column, 1));
    SKARV_ASSIGN(const int64_t layer, row.integer(layer_column, 0, kMaxLayers));
    Layer entry;
    SKARV_ASSIGN(entry.size.parameters, row.integer(parameters_column));
    SKARV_ASSIGN(entry.size.output_bytes, row.integer(output_column));
    SKARV_ASSIGN(entry.kept, row.number(memory_column, 0, 1e18));
    if (!by_degree[at_degree].emplace(layer, entry).second) {
      return row.error(cat("layer ", layer, " of ", model, " for the second time"));
    }
  }
  if (by_degree.empty()) return no_model(table, model, known);
  Sizes sizes;
  std::map<std::pair<int64_t, int64_t>, int> kind_of;
  for (const auto& [layer, entry] : by_degree.begin()->second) {
    if (layer != static_cast<int64_t>(sizes.layers.size())) {
      return config_error(cat("no layer ", sizes.layers.size(), " of ", model))
          .at(table.origin())
          .with_hint("layers count from 0 without a gap");
    }
    const auto kind = kind_of.try_emplace({entry.size.parameters, entry.size.output_bytes},
                                          static_cast<int>(kind_of.size()));
    sizes.layers.push_back(entry.size);
    sizes.kept_bytes.push_back(entry.kept);
    sizes.kinds.push_back(kind.first->second);
  }
  return sizes;
}

// Sums over the layers of a kind, then their mean.
struct Mean {
  MeasuredLayer sum;
  int count = 0;
};

}  // namespace

Result<Workload> workload_from_tables(const CsvTable& times, const CsvTable& sizes_table,
                                      const std::string& model, int64_t tokens_per_sample) {
  SKARV_ASSIGN(const Sizes sizes, read_sizes(sizes_table, model));
  SKARV_ASSIGN(const int model_column, times.column("model"));
  SKARV_ASSIGN(const int chip_column, times.column("chip"));
  SKARV_ASSIGN(const int microbatch_column, times.column("micro_batch"));
  SKARV_ASSIGN(const int degree_column, times.column("tensor_parallel"));
  SKARV_ASSIGN(const int layer_column, times.column("layer"));
  SKARV_ASSIGN(const int forward_column, times.column("forward_s"));
  SKARV_ASSIGN(const int backward_column, times.column("backward_s"));
  SKARV_ASSIGN(const int update_column, times.column("update_s"));
  const auto num_layers = static_cast<int64_t>(sizes.layers.size());
  std::map<std::tuple<std::string, int, int, int>, Mean> means;  // chip, kind, degree, microbatch
  std::set<std::string> known;
  for (int i = 0; i < times.num_rows(); ++i) {
    const CsvRow row = times.row(i);
    known.insert(row.text(model_column));
    if (row.text(model_column) != model) continue;
    SKARV_ASSIGN(const int64_t layer, row.integer(layer_column));
    if (layer >= num_layers) {
      return row.error(cat("layer ", layer, ", but ", sizes_table.origin(), " has ", num_layers),
                       layer_column);
    }
    SKARV_ASSIGN(const int64_t degree, row.integer(degree_column, 1, 1 << 20));
    SKARV_ASSIGN(const int64_t microbatch, row.integer(microbatch_column, 1, 1 << 20));
    SKARV_ASSIGN(const double forward, row.number(forward_column, 0, kMaxSeconds));
    SKARV_ASSIGN(const double backward, row.number(backward_column, 0, kMaxSeconds));
    SKARV_ASSIGN(const double update, row.number(update_column, 0, kMaxSeconds));
    Mean& mean = means[{row.text(chip_column), sizes.kinds[layer], static_cast<int>(degree),
                        static_cast<int>(microbatch)}];
    ++mean.count;
    mean.sum.forward += forward;
    mean.sum.backward_input += backward / 2;
    mean.sum.backward_weight += backward / 2;
    mean.sum.update += update;
    mean.sum.kept_bytes +=
        sizes.kept_bytes[layer] * static_cast<double>(microbatch) / static_cast<double>(degree);
  }
  if (means.empty()) return no_model(times, model, known);
  Workload workload(tokens_per_sample, sizes.layers, sizes.kinds);
  for (auto& [key, mean] : means) {
    const auto& [chip, kind, degree, microbatch] = key;
    MeasuredLayer layer{microbatch};
    for (auto member :
         {&MeasuredLayer::forward, &MeasuredLayer::backward_input, &MeasuredLayer::backward_weight,
          &MeasuredLayer::update, &MeasuredLayer::kept_bytes}) {
      layer.*member = mean.sum.*member / mean.count;
    }
    workload.add(chip, kind, degree, layer);
  }
  return workload;
}

}  // namespace skarv
