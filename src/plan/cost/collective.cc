#include "plan/cost/collective.h"

#include <algorithm>

namespace skarv {
namespace {

// Integer ceil(bytes * numerator / denominator); the product of a vector (< 2^50) and a group's
// size (< 2^13) fits.
int64_t part(int64_t bytes, int64_t numerator, int64_t denominator) {
  return (bytes * numerator + denominator - 1) / denominator;
}

int log2_ceil(int n) {
  int log = 0;
  while ((1 << log) < n) ++log;
  return log;
}

// Out of a host, when `flows` of one group and all sharing groups leave it at the same time.
int64_t between_ns(int64_t bytes, int flows, const GroupShape& group) {
  return group.between.transfer_ns(bytes * flows * group.num_sharing);
}

int64_t ring_ns(int passes, int64_t bytes, const GroupShape& group) {
  const int64_t n = group.num_devices, rounds = passes * (n - 1);
  const int64_t moved = part(bytes, rounds, n);
  int64_t transfer = 0, latency = 0;
  if (group.devices_per_host > 1) {
    transfer = group.inside.transfer_ns(moved);
    latency = group.inside.latency_ns;
  }
  if (group.num_hosts() > 1) {
    transfer = std::max(transfer, between_ns(moved, 1, group));
    latency = std::max(latency, group.between.latency_ns);
  }
  return rounds * latency + transfer;
}

int64_t tree_ns(int64_t bytes, const GroupShape& group) {
  const int inner = std::min(group.devices_per_host, group.num_devices);
  int64_t transfer = 0, latency = 0;
  if (inner > 1) {
    transfer = group.inside.transfer_ns(2 * bytes);
    latency = 2 * int64_t{inner - 1} * group.inside.latency_ns;
  }
  if (group.num_hosts() > 1) {
    transfer = std::max(transfer, between_ns(2 * bytes, 1, group));
    latency += 2 * log2_ceil(group.num_hosts()) * group.between.latency_ns;
  }
  return latency + transfer;
}

int64_t hierarchical_ns(Collective collective, int passes, int64_t bytes, const GroupShape& group) {
  const int64_t inner = group.devices_per_host, hosts = group.num_hosts();
  const int64_t inside = passes * (inner - 1) * group.inside.latency_ns +
                         group.inside.transfer_ns(part(bytes, passes * (inner - 1), inner));
  const int64_t rail = part(bytes, 1, inner);
  const int64_t rounds = passes * (hosts - 1);
  const int rails = static_cast<int>(inner);
  int64_t between =
      rounds * group.between.latency_ns + between_ns(part(rail, rounds, hosts), rails, group);
  if (collective == Collective::kAllReduce) {
    const int64_t depth = 2 * log2_ceil(static_cast<int>(hosts));
    between =
        std::min(between, depth * group.between.latency_ns + between_ns(2 * rail, rails, group));
  }
  return inside + between;
}

}  // namespace

int64_t collective_ns(Collective collective, int64_t bytes, const GroupShape& group) {
  if (group.num_devices <= 1) return 0;
  const int passes = collective == Collective::kAllReduce ? 2 : 1;
  int64_t best = ring_ns(passes, bytes, group);
  if (collective == Collective::kAllReduce) best = std::min(best, tree_ns(bytes, group));
  if (group.devices_per_host > 1 && group.num_hosts() > 1) {
    best = std::min(best, hierarchical_ns(collective, passes, bytes, group));
  }
  return group.start_ns + best;
}

}  // namespace skarv
