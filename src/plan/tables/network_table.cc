#include <array>

#include "base/text.h"
#include "plan/tables/layer_tables.h"

namespace skarv {
namespace {

constexpr std::array kMegabytes = {1, 4, 16, 64, 256, 1024};

std::string to_text(const NetworkPlace& place) {
  return cat(place.chip, " x ", place.chips_in_node,
             place.zone.empty() ? "" : cat(" in ", place.zone));
}

// Evaluated fits may fall by a few percent at the largest sizes; a message then takes as long as
// its bandwidth says, but never less than a smaller one.
Result<LinkCost> curve(const CsvRow& row, const std::array<int, kMegabytes.size()>& columns) {
  std::vector<LinkPoint> points;
  double last_seconds = 0;
  for (size_t i = 0; i < columns.size(); ++i) {
    const int64_t bytes = int64_t{kMegabytes[i]} << 20;
    SKARV_ASSIGN(const double bandwidth, row.number(columns[i], 1));
    last_seconds = std::max(last_seconds, static_cast<double>(bytes) / bandwidth);
    points.push_back({bytes, static_cast<double>(bytes) / last_seconds});
  }
  // The smallest message measured holds the link's own delay: no latency beside it.
  return LinkCost::from_points(points, 0);
}

}  // namespace

Result<NetworkTable> NetworkTable::from_csv(const CsvTable& table) {
  std::array<int, kMegabytes.size()> bandwidths;
  for (size_t i = 0; i < bandwidths.size(); ++i) {
    SKARV_ASSIGN(bandwidths[i], table.column(cat("bytes_per_s_at_", kMegabytes[i], "MB")));
  }
  SKARV_ASSIGN(const int scope, table.column("scope"));
  struct Columns {
    int chip, count, zone;
  };
  Columns from, to;
  SKARV_ASSIGN(from.chip, table.column("from_chip"));
  SKARV_ASSIGN(from.count, table.column("from_chips_in_node"));
  SKARV_ASSIGN(from.zone, table.column("from_zone"));
  SKARV_ASSIGN(to.chip, table.column("to_chip"));
  SKARV_ASSIGN(to.count, table.column("to_chips_in_node"));
  SKARV_ASSIGN(to.zone, table.column("to_zone"));
  NetworkTable network;
  for (int i = 0; i < table.num_rows(); ++i) {
    const CsvRow row = table.row(i);
    if (row.text(scope) != "in_node" && row.text(scope) != "between_nodes") {
      return row.error(cat("\"", row.text(scope), "\" is neither in_node nor between_nodes"),
                       scope);
    }
    Entry entry;
    entry.in_node = row.text(scope) == "in_node";
    for (const auto& [place, columns] : {std::pair(&entry.from, from), std::pair(&entry.to, to)}) {
      place->chip = row.text(columns.chip);
      place->zone = row.text(columns.zone);
      SKARV_ASSIGN(place->chips_in_node, row.integer(columns.count, 1, 1 << 20));
    }
    const Result<LinkCost> link = curve(row, bandwidths);
    if (!link.ok()) return row.error(link.status().message());
    entry.link = *link;
    network.entries_.push_back(std::move(entry));
  }
  return network;
}

Result<LinkCost> NetworkTable::in_node(const std::string& chip, int64_t chips_in_node) const {
  std::vector<std::string> known;
  for (const Entry& entry : entries_) {
    if (!entry.in_node || entry.from.chip != chip) continue;
    if (entry.from.chips_in_node == chips_in_node) return entry.link;
    known.push_back(cat(entry.from.chips_in_node));
  }
  return Status(Code::kNotFound, Scope::kConfig,
                cat("no link measured inside a node of ", chips_in_node, " ", chip))
      .with_hint(known.empty() ? cat("nothing is known of ", chip)
                               : cat("there are nodes of ", join(known, ", ")));
}

Result<LinkCost> NetworkTable::between(const NetworkPlace& from, const NetworkPlace& to) const {
  std::vector<std::string> known;
  for (const Entry& entry : entries_) {
    if (entry.in_node || entry.from.chip != from.chip || entry.to.chip != to.chip) continue;
    if (entry.from.chips_in_node == from.chips_in_node && entry.from.zone == from.zone &&
        entry.to.chips_in_node == to.chips_in_node && entry.to.zone == to.zone) {
      return entry.link;
    }
    known.push_back(cat(to_text(entry.from), " to ", to_text(entry.to)));
  }
  return Status(Code::kNotFound, Scope::kConfig,
                cat("no link measured from ", to_text(from), " to ", to_text(to)))
      .with_hint(known.empty() ? cat("nothing is known between ", from.chip, " and ", to.chip)
                               : cat("there are ", join(known, "; ")));
}

}  // namespace skarv
