// How long one pipeline takes for a number of samples, in closed form: the search asks this
// hundreds of thousands of times. The simulator has the last word on the finalists.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/search/shape.h"
#include "plan/search/world.h"

namespace skarv {

// Messages over the border behind a stage, one microbatch. All replicas of the group on a host send
// at the same time through its network, and every member of a tensor-parallel group sends for
// itself, so a transfer is that of all of them.
struct EdgeTimes {
  int64_t activation_ns = 0, gradient_ns = 0;  // transfer
  int64_t latency_ns = 0;                      // one way, copies to and from host memory among it
  bool leaves_host = false;

  int64_t round_trip_ns() const { return activation_ns + gradient_ns + 2 * latency_ns; }
};
// Between each stage and the next in the placement of assembly.h, of the replica that has the
// slowest; bandwidth 0 if there is none.
std::vector<const LinkCost*> edge_links(const World& world, const PipelineGroup& group);
// Over the border behind `stage`. REQUIRES: `link` is that of edge_links, and there is one.
EdgeTimes edge_times(const World& world, const PipelineGroup& group, const LinkCost& link,
                     int stage, int microbatch);

// Fill: the first microbatch through all stages and back. Period: what each further one adds: the
// slowest of the stages' work, of what a stage's host has to send, and of the loops "from a forward
// to the end of its backward" over the microbatches that memory lets be in flight. Zero-bubble
// fills the drain with weights, of which a lone microbatch has none to spare. Sources: 1F1B
// 2006.09503, zero-bubble 2401.10241.
class PipelineClock {
 public:
  PipelineClock(const World& world, const PipelineGroup& group);

  int64_t time_ns(int64_t samples) const;
  // Most samples whose time is not above `ns`, at most `most`.
  int64_t samples_within(int64_t ns, int64_t most) const;
  int64_t period_ns() const { return whole_.period; }
  int64_t fill_ns() const { return whole_.fill; }
  int64_t alone_ns() const { return whole_.alone; }  // one microbatch
  bool is_possible() const { return is_possible_; }  // every edge has a link

 private:
  struct Figures {
    int64_t fill = 0, period = 0;
    int64_t alone = 0;    // what one microbatch takes; several take no less
    int64_t slowest = 0;  // stage
  };
  Figures figures(int microbatch) const;
  const Figures& rest(int samples) const;
  int64_t time_of(int64_t whole, int rest) const;
  int64_t estimate(int64_t whole, int rest) const;
  // Microbatches that a stage may hold.
  int64_t depth(int stage, int microbatch) const;

  const World& world_;
  const PipelineGroup& group_;
  std::vector<const LinkCost*> links_;
  bool is_possible_ = true;
  Figures whole_;
  mutable std::vector<Figures> rests_;  // by the samples of a smaller last microbatch; as asked
};

}  // namespace skarv
