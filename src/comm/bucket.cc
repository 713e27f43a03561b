#include "comm/bucket.h"

#include <ATen/core/IListRef.h>
#include <ATen/ops/cat.h>

#include <map>

namespace skarv::comm {
namespace {

constexpr int64_t kBucketElements = 8 << 20;

}  // namespace

std::vector<Bucket> buckets_of(const std::vector<int>& slabs, const Ownership& ownership,
                               const SlabTable& table) {
  std::map<int, std::vector<int>> by_owner;
  for (int slab : slabs) by_owner[ownership.owner[slab]].push_back(slab);
  std::vector<Bucket> buckets;
  for (const auto& [owner, owned] : by_owner) {
    Bucket bucket{owner};
    for (int slab : owned) {
      if (bucket.num_elements > 0 && bucket.num_elements + table[slab].size() > kBucketElements) {
        buckets.push_back(std::move(bucket));
        bucket = {owner};
      }
      bucket.slabs.push_back(slab);
      bucket.num_elements += table[slab].size();
    }
    buckets.push_back(std::move(bucket));
  }
  return buckets;
}

at::Tensor pack(const Bucket& bucket, const SlabView& view) {
  if (bucket.slabs.size() == 1) return view(bucket.slabs[0]).clone();
  std::vector<at::Tensor> parts;
  for (int slab : bucket.slabs) parts.push_back(view(slab));
  return at::cat(parts);
}

void unpack(const Bucket& bucket, const at::Tensor& flat, const SlabView& view, bool accumulate) {
  int64_t begin = 0;
  for (int slab : bucket.slabs) {
    at::Tensor target = view(slab);
    at::Tensor part = flat.narrow(0, begin, target.numel());
    if (accumulate) {
      target.add_(part);
    } else {
      target.copy_(part);
    }
    begin += target.numel();
  }
}

}  // namespace skarv::comm
