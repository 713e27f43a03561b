// What a merger does with the contributions to one slab, and how whole contributions are judged.
// Two phases, because a norm spans all slabs and thus all mergers:
//   1. every merger reports payload_facts() of each contribution to each of its slabs; the
//      coordinator adds them up over slabs, judges, and folds the factors into the weights;
//   2. every merger merges with those weights and encodes the result once.
// Runs in one place per slab, so it needs no bit equality. Pure functions, any thread.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/status.h"
#include "wan/codec/codec.h"
#include "wan/codec/residual.h"

namespace skarv {

// Decodes and measures without keeping the values. Errors: those of Codec::decode.
Result<ValueFacts> payload_facts(const Codec& codec, std::span<const std::byte> payload,
                                 int64_t num_values);

enum class Verdict {
  kIncluded,
  kClipped,   // counts as delivered
  kRejected,  // not finite
};
const char* name_of(Verdict verdict);

struct Judgement {
  Verdict verdict = Verdict::kIncluded;
  double norm = 0;
  double factor = 1;  // to multiply the weight by; 0 when rejected
};

// One entry a contribution, facts added up over all slabs. A norm above `clip_to_median` times the
// median of the finite norms (the lower one of an even number, so that two sites guard each other)
// is scaled down to that; 0 turns clipping off. The answer does not depend on the order.
std::vector<Judgement> judge(std::span<const ValueFacts> contributions, double clip_to_median);

// Weights of contributions in the local mode: tokens^2 / steps (sites of unequal speed) scaled to
// sum 1 over those with a factor above 0, then times the factor. All zero when nothing is left to
// merge. (Gradient sums of exact mode all weigh 1 / samples in total.)
struct Delivered {
  double tokens = 0, steps = 0, factor = 1;
};
std::vector<float> merge_weights(std::span<const Delivered> contributions);

struct MergeInput {
  std::span<const std::byte> payload;
  float weight = 0;  // 0: left out, never decoded
};

// payload = download.encode(sum of weight * upload.decode(input) + decay residual), inputs in the
// given order. Sizes as in encode_with_residual; `num_values` is the slab's. Returns the facts of
// the merged values. Errors: kDataLoss naming the input by its position; kInvalidArgument when no
// input has weight or the sum is not finite.
Result<ValueFacts> merge_slab(const Codec& upload, const Codec& download, int64_t num_values,
                              std::span<const MergeInput> inputs, std::span<const float> residual,
                              float decay, std::span<std::byte> payload,
                              std::span<float> next_residual);

}  // namespace skarv
