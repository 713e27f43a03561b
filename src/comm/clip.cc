#include "comm/clip.h"

#include <array>
#include <cmath>
#include <cstring>

namespace skarv::comm {
namespace {

template <typename T>
std::string bytes_of(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

Result<Clip> agree_on_clip(Edges& edges, int64_t step, double squared_norm, double max_norm,
                           Duration patience) {
  using Shipped = std::array<double, 3>;  // norm, factor, skip
  Clip clip;
  if (edges.rank() != 0) {
    SKARV_TRY(edges.send_bytes(0, {Payload::kNorm, step}, bytes_of(squared_norm)));
    SKARV_ASSIGN(std::string answer,
                 edges.receive_bytes(0, {Payload::kClip, step}, sizeof(Shipped), patience));
    Shipped shipped;
    answer.copy(reinterpret_cast<char*>(shipped.data()), sizeof shipped);
    clip = {shipped[0], shipped[1], shipped[2] != 0};
  } else {
    double sum = squared_norm;
    for (int rank = 1; rank < edges.num_ranks(); ++rank) {
      SKARV_ASSIGN(std::string bytes,
                   edges.receive_bytes(rank, {Payload::kNorm, step}, sizeof(double), patience));
      double part;
      std::memcpy(&part, bytes.data(), sizeof part);
      sum += part;
    }
    clip.norm = std::sqrt(sum);
    clip.skip = !std::isfinite(clip.norm);
    if (max_norm > 0 && clip.norm > max_norm) clip.factor = max_norm / clip.norm;
    const Shipped shipped{clip.norm, clip.factor, clip.skip ? 1.0 : 0.0};
    for (int rank = 1; rank < edges.num_ranks(); ++rank) {
      SKARV_TRY(edges.send_bytes(rank, {Payload::kClip, step}, bytes_of(shipped)));
    }
  }
  clip.arrived = Clock::real().now();
  return clip;
}

}  // namespace skarv::comm
