#include "wan/merge.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace skarv {

namespace {
constexpr int64_t kPiece = 4096;  // a multiple of every codec's block
}

const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kIncluded:
      return "included";
    case Verdict::kClipped:
      return "clipped";
    case Verdict::kRejected:
      return "rejected";
  }
  return "unknown";
}

Result<ValueFacts> payload_facts(const Codec& codec, std::span<const std::byte> payload,
                                 int64_t num_values) {
  if (static_cast<int64_t>(payload.size()) != codec.encoded_bytes(num_values)) {
    return Status(Code::kDataLoss, Scope::kPeer,
                  cat("payload of ", payload.size(), " bytes for ", num_values,
                      " values, which take ", codec.encoded_bytes(num_values)));
  }
  ValueFacts facts;
  float values[kPiece];
  for (int64_t begin = 0; begin < num_values; begin += kPiece) {
    const int64_t count = std::min(kPiece, num_values - begin);
    const auto num_bytes = static_cast<size_t>(codec.encoded_bytes(count));
    const std::span<float> piece(values, static_cast<size_t>(count));
    SKARV_TRY(codec.decode(payload.first(num_bytes), piece));
    payload = payload.subspan(num_bytes);
    facts.add(facts_of(piece));
  }
  return facts;
}

std::vector<Judgement> judge(std::span<const ValueFacts> contributions, double clip_to_median) {
  std::vector<Judgement> judgements;
  std::vector<double> finite_norms;
  for (const ValueFacts& facts : contributions) {
    Judgement judgement;
    judgement.norm = std::sqrt(facts.sum_of_squares);
    if (facts.finite && std::isfinite(judgement.norm)) {
      finite_norms.push_back(judgement.norm);
    } else {
      judgement.verdict = Verdict::kRejected;
      judgement.factor = 0;
    }
    judgements.push_back(judgement);
  }
  if (clip_to_median <= 0 || finite_norms.empty()) return judgements;
  const auto middle =
      finite_norms.begin() + static_cast<std::ptrdiff_t>((finite_norms.size() - 1) / 2);
  std::nth_element(finite_norms.begin(), middle, finite_norms.end());
  const double limit = clip_to_median * *middle;
  for (Judgement& judgement : judgements) {
    if (judgement.verdict == Verdict::kIncluded && judgement.norm > limit) {
      judgement.verdict = Verdict::kClipped;
      judgement.factor = limit / judgement.norm;
    }
  }
  return judgements;
}

std::vector<float> merge_weights(std::span<const Delivered> contributions) {
  std::vector<double> raw;
  double sum = 0;
  for (const Delivered& delivered : contributions) {
    const bool counts = delivered.factor > 0 && delivered.steps > 0;
    raw.push_back(counts ? delivered.tokens * delivered.tokens / delivered.steps : 0);
    sum += raw.back();
  }
  std::vector<float> weights;
  for (size_t i = 0; i < raw.size(); ++i) {
    // The factor shrinks a contribution; it does not hand its share to the others.
    weights.push_back(sum > 0 ? static_cast<float>(raw[i] / sum * contributions[i].factor) : 0);
  }
  return weights;
}

Result<ValueFacts> merge_slab(const Codec& upload, const Codec& download, int64_t num_values,
                              std::span<const MergeInput> inputs, std::span<const float> residual,
                              float decay, std::span<std::byte> payload,
                              std::span<float> next_residual) {
  const auto size = static_cast<size_t>(num_values);
  if (static_cast<int64_t>(payload.size()) != download.encoded_bytes(num_values) ||
      (!residual.empty() && residual.size() != size) ||
      (!next_residual.empty() && next_residual.size() != size)) {
    return bug("merge_slab: sizes do not fit together");
  }
  bool any = false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].weight == 0) continue;
    any = true;
    if (static_cast<int64_t>(inputs[i].payload.size()) != upload.encoded_bytes(num_values)) {
      return Status(Code::kDataLoss, Scope::kPeer,
                    cat("contribution ", i, " has ", inputs[i].payload.size(), " bytes instead of ",
                        upload.encoded_bytes(num_values)));
    }
  }
  if (!any) {
    return Status(Code::kInvalidArgument, Scope::kRun, "no contribution is left to merge");
  }

  ValueFacts facts;
  float sum[kPiece], values[kPiece];
  for (int64_t begin = 0; begin < num_values; begin += kPiece) {
    const int64_t count = std::min(kPiece, num_values - begin);
    const auto offset = static_cast<size_t>(begin), length = static_cast<size_t>(count);
    const auto num_bytes = static_cast<size_t>(upload.encoded_bytes(count));
    const auto input_offset = static_cast<size_t>(upload.encoded_bytes(begin));
    std::fill_n(sum, length, 0.0f);
    for (size_t i = 0; i < inputs.size(); ++i) {
      const float weight = inputs[i].weight;
      if (weight == 0) continue;
      Status status = upload.decode(inputs[i].payload.subspan(input_offset, num_bytes),
                                    std::span<float>(values, length));
      if (!status.ok()) return status.wrap(cat("contribution ", i, " from value ", begin, " on"));
      for (size_t j = 0; j < length; ++j) sum[j] += weight * values[j];
    }
    const auto target_offset = static_cast<size_t>(download.encoded_bytes(begin));
    SKARV_ASSIGN(
        const ValueFacts piece,
        encode_with_residual(
            download,
            {.values = std::span<const float>(sum, length),
             .minus = {},
             .residual = residual.empty() ? residual : residual.subspan(offset, length),
             .decay = decay},
            payload.subspan(target_offset, static_cast<size_t>(download.encoded_bytes(count))),
            next_residual.empty() ? next_residual : next_residual.subspan(offset, length)));
    facts.add(piece);
  }
  return facts;
}

}  // namespace skarv
