#include "spec/traffic.h"

namespace skarv {
namespace {

constexpr int64_t kGradientBytes = 4;  // gradients are summed and shipped in fp32

int64_t owned_elements(const Ownership& ownership, const SlabTable& table, int group, int rank) {
  int64_t total = 0;
  for (int slab : ownership.groups[group].slabs) {
    if (ownership.owner[slab] == rank) total += table[slab].size();
  }
  return total;
}

int64_t all_elements(const Ownership& ownership, const SlabTable& table, int group) {
  int64_t total = 0;
  for (int slab : ownership.groups[group].slabs) total += table[slab].size();
  return total;
}

}  // namespace

int64_t element_bytes(Precision precision) { return precision == Precision::kFp32 ? 4 : 2; }

int64_t border_bytes(const Model& model, Precision precision, int samples) {
  return samples * model.context * model.hidden * element_bytes(precision);
}

int64_t reduce_bytes(const Ownership& ownership, const SlabTable& table, int group, int rank) {
  return kGradientBytes *
         (all_elements(ownership, table, group) - owned_elements(ownership, table, group, rank));
}

int64_t gather_bytes(const Ownership& ownership, const SlabTable& table, int group, int rank,
                     Precision precision) {
  const int64_t num_others = static_cast<int64_t>(ownership.groups[group].members.size()) - 1;
  return element_bytes(precision) * num_others * owned_elements(ownership, table, group, rank);
}

}  // namespace skarv
