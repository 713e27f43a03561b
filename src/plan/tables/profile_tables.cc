#include "plan/tables/profile_tables.h"

#include <cctype>
#include <cmath>
#include <set>

#include "base/text.h"
#include "spec/chip.h"

namespace skarv {
namespace {

constexpr double kNano = 1e-9;

// Tables name chips by family and memory: "A100-40" is the catalog's first a100... of 40 GB. A name
// that fits none stays as it is.
std::string catalog_name(const std::string& name) {
  std::string lower = name;
  for (char& letter : lower) letter = static_cast<char>(std::tolower(static_cast<uint8_t>(letter)));
  const size_t dash = lower.rfind('-');
  const std::string family = lower.substr(0, dash);
  for (const Chip& chip : chip_catalog()) {
    if (chip.name == lower) return lower;
  }
  for (const Chip& chip : chip_catalog()) {
    const auto gigabytes = std::llround(chip.memory_bytes.value / 1e9);
    if (dash != std::string::npos && chip.name.starts_with(family) &&
        lower.substr(dash + 1) == cat(gigabytes)) {
      return chip.name;
    }
  }
  return name;
}

// Layers [first, last) as one entry. Error: a chip that was not measured there for all of them.
Result<LayerTime> sum_of(const Workload& workload, const std::string& chip, LayerKind kind,
                         int first, int last, int microbatch, int degree) {
  LayerTime time;
  time.chip = catalog_name(chip);
  time.kind = kind;
  time.microbatch = microbatch;
  time.tensor_parallel = degree;
  for (int layer = first; layer < last; ++layer) {
    SKARV_ASSIGN(const LayerCost cost, workload.cost(chip, layer, microbatch, degree));
    time.forward += static_cast<double>(cost.forward_ns) * kNano;
    time.backward_input += static_cast<double>(cost.backward_input_ns) * kNano;
    time.backward_weight += static_cast<double>(cost.backward_weight_ns) * kNano;
    time.update += static_cast<double>(cost.update_ns) * kNano;
    time.activation_bytes += static_cast<double>(cost.kept_bytes);
  }
  return time;
}

Status check_blocks(const Workload& workload, const Model& model, const CsvTable& sizes,
                    const std::string& name) {
  const auto num_blocks = static_cast<int>(model.num_blocks);
  const auto refuse = [&](const std::string& what) {
    return config_error(cat(name, " ", what, ", the model has ", num_blocks, " equal blocks"))
        .at(sizes.origin())
        .with_hint("name the model of the tables that this one is");
  };
  if (workload.num_layers() < num_blocks + 2) {
    return refuse(cat("has ", workload.num_layers(), " layers"));
  }
  for (int layer = 1; layer <= num_blocks; ++layer) {
    if (workload.kind(layer) != workload.kind(1)) {
      return refuse(cat("changes at layer ", layer));
    }
  }
  if (workload.kind(num_blocks + 1) == workload.kind(1)) {
    return refuse(cat("has more than ", num_blocks));
  }
  const int64_t elements = model.context * model.hidden, bytes = workload.size(1).output_bytes;
  if (bytes != 4 * elements && bytes != 2 * elements) {
    return config_error(cat("a block of ", name, " puts out ", bytes,
                            " bytes a sample; of context ", model.context, " x hidden ",
                            model.hidden, " these would be ", 4 * elements, " (fp32) or ",
                            2 * elements))
        .at(sizes.origin())
        .with_hint("take the context and the width that were measured");
  }
  return {};
}

}  // namespace

Result<Profile> profile_from_tables(const CsvTable& times, const CsvTable& sizes,
                                    const std::string& name, const Model& model) {
  SKARV_ASSIGN(const Workload workload, workload_from_tables(times, sizes, name, model.context));
  SKARV_TRY(check_blocks(workload, model, sizes, name));
  SKARV_ASSIGN(const int name_column, times.column("model"));
  SKARV_ASSIGN(const int chip_column, times.column("chip"));
  std::set<std::string> chips;
  for (int i = 0; i < times.num_rows(); ++i) {
    const CsvRow row = times.row(i);
    if (row.text(name_column) == name) chips.insert(row.text(chip_column));
  }
  const auto head = static_cast<int>(model.num_blocks) + 1;
  Profile profile;
  profile.model = digest_of(model).hex();
  for (const std::string& chip : chips) {
    for (const int degree : workload.tensor_parallels(chip)) {
      for (const int microbatch : workload.microbatches(chip, workload.kind(1), degree)) {
        for (const auto& [kind, first, last] :
             {std::tuple(LayerKind::kEmbedding, 0, 1), std::tuple(LayerKind::kBlock, 1, 2),
              std::tuple(LayerKind::kHead, head, workload.num_layers())}) {
          SKARV_ASSIGN(LayerTime time,
                       sum_of(workload, chip, kind, first, last, microbatch, degree));
          profile.layers.push_back(std::move(time));
        }
      }
    }
  }
  return profile;
}

Result<Profile> profile_from_folder(const std::filesystem::path& folder, const std::string& name,
                                    const Model& model) {
  SKARV_ASSIGN(const CsvTable times, CsvTable::read(folder / "layer_profiles.csv"));
  SKARV_ASSIGN(const CsvTable sizes, CsvTable::read(folder / "layer_sizes.csv"));
  return profile_from_tables(times, sizes, name, model);
}

}  // namespace skarv
