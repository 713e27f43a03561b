// A workload from two CSV tables: what each layer of a model takes on each chip, and how large it
// is. Any kinds of layers; bench/validation/README.md describes the columns.
//
//   times: model, chip, micro_batch, tensor_parallel, layer, forward_s, backward_s, update_s
//   sizes: model, layer, parameters, activation_out_bytes, activation_memory_bytes, and
//          tensor_parallel (or micro_batch): only the rows with its smallest value are read
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "plan/cost/link_cost.h"
#include "plan/cost/workload.h"
#include "plan/tables/csv.h"

namespace skarv {

// Layers of equal size are one kind; what was measured for them is averaged. A backward pass is
// taken as half for inputs and half for weights. Error: a missing or malformed column or figure
// with file and line, a model that the tables lack (with the nearest name), layers with a gap.
Result<Workload> workload_from_tables(const CsvTable& times, const CsvTable& sizes,
                                      const std::string& model, int64_t tokens_per_sample);

// Bandwidth by message size: columns scope ("in_node", "between_nodes"), from_chip,
// from_chips_in_node, from_zone, to_chip, to_chips_in_node, to_zone, and bytes_per_s_at_<n>MB.
struct NetworkPlace {
  std::string chip;
  int64_t chips_in_node = 1;
  std::string zone;  // not compared inside a node
};
class NetworkTable {
 public:
  static Result<NetworkTable> from_csv(const CsvTable& table);
  // Error: kNotFound, with what there is between these chips.
  Result<LinkCost> in_node(const std::string& chip, int64_t chips_in_node) const;
  Result<LinkCost> between(const NetworkPlace& from, const NetworkPlace& to) const;

 private:
  struct Entry {
    bool in_node;
    NetworkPlace from, to;
    LinkCost link;
  };
  std::vector<Entry> entries_;
};

}  // namespace skarv
