// Orders of pipelines, side by side: time to make them, and what comes of them. Longest stage time
// and makespan of 1F1B (classical depth, whole backwards), of the plain greedy rule in the manner
// of ZB-H1, and of ours, each as excess over the work of the busiest worker or over the bound.
// Memory limits are the same for all; where 1F1B's depth does not fit it takes what does. How to
// read it, and its table: docs/schedules.md.
#include <benchmark/benchmark.h>

#include <functional>
#include <string>

#include "base/text.h"
#include "plan/schedule/greedy.h"
#include "plan/schedule/order.h"
#include "plan/schedule/warm_up.h"

namespace skarv {
namespace {

struct Case {
  std::string name;
  std::function<PipelineTimes()> make;
};

// Memory in half activations.
PipelineTimes equal(int num_stages, int num_microbatches, StageTimes stage, int64_t delay,
                    int64_t half_activations) {
  stage.kept_bytes = 4;
  stage.freed_by_input = 2;
  PipelineTimes times =
      straight_pipeline(std::vector<StageTimes>(num_stages, stage), num_microbatches);
  for (BorderTimes& border : times.borders) border = {{0, delay}, {0, delay}};
  times.memory_bytes.assign(num_stages, 2 * half_activations);
  return times;
}

struct Piece {
  int layers;
  int percent;  // of the fastest chip's speed
};

// A layer takes 10, 10.5 and 8.5 us on the fastest chip and keeps 1000 bytes until its weights are
// done; the head costs two layers more. Every device has the same memory.
PipelineTimes unequal(const std::vector<Piece>& pieces, int num_microbatches, int64_t delay,
                      int64_t memory_bytes) {
  std::vector<StageTimes> stages;
  for (const Piece& piece : pieces) {
    const bool is_last = &piece == &pieces.back();
    const int64_t layers = 100 * (piece.layers + (is_last ? 2 : 0));
    stages.push_back({10'000 * layers / piece.percent, 10'500 * layers / piece.percent,
                      8'500 * layers / piece.percent, 1000 * piece.layers, 0});
  }
  PipelineTimes times = straight_pipeline(std::move(stages), num_microbatches);
  for (BorderTimes& border : times.borders)
    border = {{delay / 2, delay / 2}, {delay / 2, delay / 2}};
  times.memory_bytes.assign(pieces.size(), memory_bytes);
  return times;
}

PipelineTimes with_slow_border(PipelineTimes times, int border, int64_t latency_ns) {
  times.borders[border].activation.latency_ns = latency_ns;
  times.borders[border].gradient.latency_ns = latency_ns;
  return times;
}

// Every stage in two halves, the second half of the pipeline on the same workers as the first.
PipelineTimes interleaved(const PipelineTimes& straight) {
  const int num_workers = straight.num_stages();
  PipelineTimes times = straight;
  for (StageTimes& stage : times.stages) {
    for (int64_t* value : {&stage.forward_ns, &stage.backward_input_ns, &stage.backward_weight_ns,
                           &stage.kept_bytes, &stage.freed_by_input}) {
      *value /= 2;
    }
  }
  times.stages.insert(times.stages.end(), times.stages.begin(), times.stages.end());
  times.borders.push_back(straight.borders.back());  // from the last worker to the first
  times.borders.insert(times.borders.end(), straight.borders.begin(), straight.borders.end());
  for (int s = 0; s < num_workers; ++s) times.worker_of_stage.push_back(s);
  return times;
}

const std::vector<Piece> kCut4 = {{12, 100}, {12, 100}, {5, 40}, {1, 25}};
const std::vector<Piece> kUncut4 = {{8, 100}, {8, 100}, {8, 40}, {8, 25}};
const std::vector<Piece> kCut8 = {{9, 100}, {4, 40}, {2, 25},  {9, 100},
                                  {4, 40},  {2, 25}, {9, 100}, {2, 40}};
const std::vector<Piece> kSlowFirst8 = {{2, 25}, {2, 25},  {2, 25},  {4, 40},
                                        {4, 40}, {9, 100}, {9, 100}, {7, 100}};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"p4 m12 5/6/4, memory 10",
       [] {
         return equal(4, 12, {5, 6, 4}, 0, 10);
       }},
      {"p4 m12 5/6/4, memory 14",
       [] {
         return equal(4, 12, {5, 6, 4}, 0, 14);
       }},
      {"p4 m12 5478/5806/3534 + 200, memory 32",
       [] {
         return equal(4, 12, {5478, 5806, 3534}, 200, 32);
       }},
      {"p8 m32 29850/29767/18868 + 466, memory 32",
       [] {
         return equal(8, 32, {29850, 29767, 18868}, 466, 32);
       }},
      {"p128 m512 29850/29767/18868 + 466, memory 512",
       [] {
         return equal(128, 512, {29850, 29767, 18868}, 466, 512);
       }},
      {"p128 m512 29850/29767/18868 + 466, memory 1024",
       [] {
         return equal(128, 512, {29850, 29767, 18868}, 466, 1024);
       }},
      {"p128 m512 5/6/4, memory 1024",
       [] {
         return equal(128, 512, {5, 6, 4}, 0, 1024);
       }},
      {"p8 m32 29850/29767/18868 + 466, memory 32, interleaved",
       [] {
         return interleaved(equal(8, 32, {29850, 29767, 18868}, 466, 32));
       }},
      {"p8 m8 29850/29767/18868 + 466, memory 16",
       [] {
         return equal(8, 8, {29850, 29767, 18868}, 466, 16);
       }},
      {"p8 m8 29850/29767/18868 + 466, memory 16, interleaved",
       [] {
         return interleaved(equal(8, 8, {29850, 29767, 18868}, 466, 16));
       }},
      {"4 stages 1:1:0.4:0.25, cut to fit, ample",
       [] { return unequal(kCut4, 16, 4000, 1'000'000); }},
      {"4 stages 1:1:0.4:0.25, cut to fit, 60 kB", [] { return unequal(kCut4, 16, 4000, 60'000); }},
      {"4 stages 1:1:0.4:0.25, cut to fit, 36 kB", [] { return unequal(kCut4, 16, 4000, 36'000); }},
      {"4 stages 1:1:0.4:0.25, equal cuts, 60 kB",
       [] { return unequal(kUncut4, 16, 4000, 60'000); }},
      {"8 stages mixed, cut to fit, ample", [] { return unequal(kCut8, 32, 4000, 1'000'000); }},
      {"8 stages mixed, cut to fit, 72 kB", [] { return unequal(kCut8, 32, 4000, 72'000); }},
      {"8 stages mixed, cut to fit, 36 kB", [] { return unequal(kCut8, 32, 4000, 36'000); }},
      {"8 stages slow first, 72 kB", [] { return unequal(kSlowFirst8, 32, 4000, 72'000); }},
      {"8 stages mixed, 72 kB, 0.4 ms in the middle",
       [] { return with_slow_border(unequal(kCut8, 32, 4000, 72'000), 3, 400'000); }},
      {"8 stages mixed, ample, 0.4 ms in the middle",
       [] { return with_slow_border(unequal(kCut8, 32, 4000, 1'000'000), 3, 400'000); }},
      {"8 stages mixed, ample, interleaved",
       [] { return interleaved(unequal(kCut8, 32, 4000, 1'000'000)); }},
      {"8 stages mixed, ample, 8 microbatches", [] { return unequal(kCut8, 8, 4000, 1'000'000); }},
  };
  return all;
}

std::string percent(int64_t value, int64_t base) {
  return fixed(100.0 * static_cast<double>(value - base) / static_cast<double>(base), 2);
}

std::string figures(const Played& played, Bounds& bounds) {
  return cat(played.longest_ns, "/", played.makespan_ns, " (+",
             percent(played.longest_ns, bounds.longest_ns()), "/+",
             percent(played.makespan_ns, bounds.makespan_ns()), " %)");
}

void order(benchmark::State& state, const PipelineTimes& times, int64_t max_pieces) {
  Played ours;
  for (auto _ : state) {
    const OrderOptions options{Objective::kMakespan, max_pieces, 1};
    ours = Player(times).play(order_zero_bubble(times, options));
  }
  Bounds bounds(times);
  GreedyRule plain;
  plain.depth = depths_of({.is_classical = true}, times);
  const Played greedy = Player(times).play(order_greedily(times, plain));
  PipelineTimes whole = times;
  for (StageTimes& stage : whole.stages) {
    stage.backward_input_ns += stage.backward_weight_ns;
    stage.backward_weight_ns = 0;
  }
  plain.is_fused = true;
  const Played classical = Player(whole).play(order_greedily(whole, plain));
  state.SetLabel(cat("ours ", figures(ours, bounds), "; 1f1b ", figures(classical, bounds),
                     "; zb-h1 ", figures(greedy, bounds), "; bounds ", bounds.longest_ns(), "/",
                     bounds.makespan_ns(), ", work ", bounds.work_ns(), ", bubble ",
                     percent(ours.longest_ns, bounds.work_ns()), " %"));
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const Case& one : cases()) {
    for (const auto& [effort, max_pieces] : {std::pair("quick", 0), {"thorough", 20'000'000}}) {
      benchmark::RegisterBenchmark(cat(one.name, ", ", effort).c_str(),
                                   [make = one.make, max_pieces](benchmark::State& state) {
                                     order(state, make(), max_pieces);
                                   })
          ->Unit(benchmark::kMillisecond);
    }
  }
  return true;
}();

}  // namespace
}  // namespace skarv
