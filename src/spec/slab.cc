#include "spec/slab.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "base/text.h"

namespace skarv {
namespace {

// Fragment of every layer.
std::vector<int> fragments_of_layers(const Model& model, const std::vector<TensorSpec>& tensors,
                                     int num_fragments) {
  std::vector<int64_t> size_of_layer(model.num_layers(), 0);
  for (const TensorSpec& tensor : tensors) size_of_layer[tensor.layer] += tensor.num_elements();
  std::vector<int> fragment(model.num_layers(), 0);
  std::vector<int64_t> load(num_fragments, 0);
  for (int block = 0; block < model.num_blocks; ++block) {
    fragment[block + 1] = block % num_fragments;
    load[block % num_fragments] += size_of_layer[block + 1];
  }
  for (int layer : {0, model.head_layer()}) {
    const auto lightest = std::min_element(load.begin(), load.end());
    *lightest += size_of_layer[layer];
    fragment[layer] = static_cast<int>(lightest - load.begin());
  }
  return fragment;
}

// Equal pieces of at most kMaxSlabElements, each but the last a multiple of kSlabAlignment.
int64_t piece_size(int64_t num_elements) {
  const int64_t num_pieces = (num_elements + kMaxSlabElements - 1) / kMaxSlabElements;
  const int64_t even = (num_elements + num_pieces - 1) / num_pieces;
  return (even + kSlabAlignment - 1) / kSlabAlignment * kSlabAlignment;
}

}  // namespace

SlabTable::SlabTable(const Model& model, int num_fragments)
    : tensors_(tensors_of(model)), num_fragments_(num_fragments) {
  const std::vector<int> fragment = fragments_of_layers(model, tensors_, num_fragments);
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const int64_t size = tensors_[i].num_elements();
    const int layer = tensors_[i].layer;
    const int64_t piece = piece_size(size);
    for (int64_t begin = 0; begin < size; begin += piece) {
      slabs_.push_back(
          {static_cast<int>(i), layer, begin, std::min(begin + piece, size), fragment[layer]});
    }
    num_elements_ += size;
  }
  by_size_.resize(slabs_.size());
  std::iota(by_size_.begin(), by_size_.end(), 0);
  std::ranges::stable_sort(by_size_, std::greater<>(),
                           [this](int slab) { return slabs_[slab].size(); });
}

std::vector<int> SlabTable::slabs_of_fragment(int fragment) const {
  std::vector<int> result;
  for (int slab = 0; slab < size(); ++slab) {
    if (slabs_[slab].fragment == fragment) result.push_back(slab);
  }
  return result;
}

std::vector<int> SlabTable::slabs_of_tensor(int tensor) const {
  // Slabs stand in the order of their tensors.
  const auto [begin, end] =
      std::equal_range(slabs_.begin(), slabs_.end(), Slab{tensor, 0, 0, 0, 0},
                       [](const Slab& a, const Slab& b) { return a.tensor < b.tensor; });
  std::vector<int> result(end - begin);
  std::iota(result.begin(), result.end(), static_cast<int>(begin - slabs_.begin()));
  return result;
}

int SlabTable::fragment_of_round(int64_t round) const {
  return static_cast<int>((round - 1) % num_fragments_);
}

Digest SlabTable::digest() const {
  Hasher hasher;
  hasher.add_number<int32_t>(num_fragments_);
  for (const TensorSpec& tensor : tensors_) {
    hasher.add_number<uint32_t>(tensor.name.size()).add(tensor.name);
    hasher.add_number<uint32_t>(tensor.shape.size());
    for (int64_t dim : tensor.shape) hasher.add_number(dim);
  }
  for (const Slab& slab : slabs_) {
    hasher.add_number<int32_t>(slab.tensor).add_number(slab.begin).add_number(slab.end);
    hasher.add_number<int32_t>(slab.fragment);
  }
  return hasher.finish();
}

std::string SlabTable::name_of(int slab) const {
  return cat(tensor_of(slab).name, "[", slabs_[slab].begin, ":", slabs_[slab].end, "]");
}

}  // namespace skarv
