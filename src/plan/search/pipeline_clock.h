// How long one pipeline takes for a number of samples, in closed form: the search asks this
// millions of times. The simulator has the last word on the finalists.
#pragma once

#include <cstdint>

#include "plan/search/shape.h"
#include "plan/search/world.h"

namespace skarv {

// Fill: the first microbatch through all stages and back. Period: what each further one adds, the
// slowest stage (orders keep enough microbatches in flight to bridge the messages). Zero-bubble
// fills the drain with weights. Sources: 1F1B 2006.09503, zero-bubble 2401.10241.
class PipelineClock {
 public:
  PipelineClock(const World& world, const PipelineGroup& group);

  int64_t time_ns(int64_t samples) const;
  // Most samples whose time is not above `ns`, at most `most`.
  int64_t samples_within(int64_t ns, int64_t most) const;
  int64_t period_ns() const { return whole_.period; }
  int64_t fill_ns() const { return whole_.fill; }
  bool is_possible() const { return is_possible_; }  // every edge has a link

 private:
  struct Figures {
    int64_t fill = 0, period = 0;
    int64_t slowest = 0;  // stage
  };
  Figures figures(int microbatch) const;
  const Figures& rest(int samples) const;
  int64_t edge_ns(int stage, int microbatch) const;
  int64_t time_of(int64_t whole, int rest) const;

  const World& world_;
  const PipelineGroup& group_;
  std::vector<const LinkCost*> edges_;
  bool is_possible_ = true;
  Figures whole_;
  mutable std::vector<Figures> rests_;  // by the samples of a smaller last microbatch; as asked
};

// The link between stage and stage + 1 in the placement of assembly.h; bandwidth 0 if there is
// none.
const LinkCost& edge_link(const World& world, const PipelineGroup& group, int stage);

}  // namespace skarv
