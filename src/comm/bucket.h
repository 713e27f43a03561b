// Slabs of one owner that travel as one message.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "base/status.h"
#include "comm/slab_exchange.h"

namespace skarv::comm {

struct Bucket {
  int owner = 0;
  std::vector<int> slabs;
  int64_t num_elements = 0;
};

// Slabs in the given order, by owner (ascending), at most a few MiB each unless one slab is larger.
std::vector<Bucket> buckets_of(const std::vector<int>& slabs, const Ownership& ownership,
                               const SlabTable& table);

// The bucket's slabs side by side in one new tensor of the device. May throw what libtorch throws.
at::Tensor pack(const Bucket& bucket, const SlabView& view);
// The reverse; adds instead of assigning if `accumulate`.
void unpack(const Bucket& bucket, const at::Tensor& flat, const SlabView& view, bool accumulate);

}  // namespace skarv::comm
