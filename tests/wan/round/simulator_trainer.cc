// The toy trainer of the simulated islands: steps, snapshots, merged weights.
#include <deque>
#include <limits>

#include "base/random.h"
#include "base/text.h"
#include "wan/round/simulator_nodes.h"

namespace skarv::wan {

namespace {

constexpr uint64_t kBatch = 4;

uint64_t size_of(const std::deque<SampleRange>& ranges) {
  uint64_t size = 0;
  for (const SampleRange& range : ranges) size += range.size();
  return size;
}

std::vector<SampleRange> take_first(std::deque<SampleRange>& ranges, uint64_t count) {
  std::vector<SampleRange> taken;
  while (count > 0 && !ranges.empty()) {
    SampleRange& first = ranges.front();
    const uint64_t part = std::min(count, first.size());
    taken.push_back({first.begin, first.begin + part});
    first.begin += part;
    count -= part;
    if (first.size() == 0) ranges.pop_front();
  }
  return taken;
}

}  // namespace

float Simulator::toy_gradient(float x, int64_t element, uint64_t sample) {
  static const CounterRandom random(7, "noise");
  const float target = static_cast<float>((element * 37 + 11) % 101) / 101.0f;
  const uint64_t word = random.at(sample * 4096 + static_cast<uint64_t>(element));
  return x - target + static_cast<float>(word % 1000) / 5000.0f - 0.1f;
}

void Simulator::train(int i, uint64_t life) {
  Island& node = *islands_[i];
  if (!node.up || node.life != life || node.computing || node.step >= node.limit) return;
  if (!node.applies.empty() && node.applies.front().not_before_step <= node.step) return;
  if (options_.samples && size_of(node.lease) < kBatch) {
    if (!node.wants_lease) {
      node.wants_lease = true;
      act(i, node.machine->request_lease(now_, 4 * kBatch));
    }
    return;
  }
  node.computing = true;
  const double slow = options_.slow.contains(i) ? options_.slow.at(i) : 1;
  after(options_.step_seconds * slow, [this, i, life] {
    Island& node = *islands_[i];
    if (!node.up || node.life != life) return;
    node.computing = false;
    // A reset in the middle of the step took the samples away.
    if (options_.samples && size_of(node.lease) < kBatch) return train(i, life);
    std::vector<SampleRange> used;
    if (options_.samples) used = take_first(node.lease, kBatch);
    std::vector<uint64_t> samples;
    for (const SampleRange& range : used) {
      for (uint64_t sample = range.begin; sample < range.end; ++sample) samples.push_back(sample);
    }
    if (samples.empty())
      samples.push_back(static_cast<uint64_t>(node.step) * 16 + static_cast<uint64_t>(i));
    std::vector<float> gradient(node.x.size(), 0.0f);
    for (uint64_t sample : samples) {
      for (size_t e = 0; e < node.x.size(); ++e) {
        gradient[e] += toy_gradient(node.x[e], static_cast<int64_t>(e), sample);
      }
    }
    ++node.step;
    journal_.push_back({Moment::What::kStep, i, 0, -1, {}, samples});
    if (run_.exchange.mode == ExchangeMode::kGradient) {
      node.gradient = gradient;
    } else {
      for (size_t e = 0; e < node.x.size(); ++e) {
        node.x[e] -= 0.05f / static_cast<float>(samples.size()) * gradient[e];
      }
      if (faulty() && chance(options_.nan_rate)) {
        node.x[0] = std::numeric_limits<float>::quiet_NaN();
      }
    }
    node.journal.trained(node.step, static_cast<int64_t>(samples.size()), used);
    act(i, node.machine->step_done(now_, node.step, static_cast<int64_t>(samples.size()), used));
    if (!node.up || node.life != life) return;
    // In gradient mode each step is for its round: nobody waits to be asked.
    if (run_.exchange.mode == ExchangeMode::kGradient) freeze(i, node.step, 0);
    boundary(i);
    train(i, life);
  });
}

// Between two optimizer steps.
void Simulator::boundary(int i) {
  Island& node = *islands_[i];
  if (node.computing) return;
  const uint64_t life = node.life;
  const bool exact = run_.exchange.mode == ExchangeMode::kGradient;
  while (node.up && node.life == life && !node.applies.empty()) {
    const ApplyLocal apply = node.applies.front();
    if (apply.not_before_step > node.step) break;
    node.applies.erase(node.applies.begin());
    journal_.push_back({Moment::What::kApply, i, apply.round, apply.fragment, apply.verdict, {}});
    int64_t offset = 0;
    for (int slab = 0; slab < table_->size(); ++slab) {
      const Slab& range = (*table_)[slab];
      const SlabState now = node.keeper->state(slab);
      if (apply.fragment < 0 || range.fragment == apply.fragment) {
        const SlabState before = node.keeper->previous(slab);
        if (apply.verdict == LocalVerdict::kExcluded &&
            before.version != node.base[range.fragment]) {
          return fail("excluded: the keeper's previous side is not the base of x (I6)");
        }
        for (int64_t e = 0; e < range.size(); ++e) {
          float& x = node.x[static_cast<size_t>(offset + e)];
          const float w = now.w[static_cast<size_t>(e)];
          if (apply.verdict == LocalVerdict::kReset) {
            x = w;
          } else if (apply.verdict == LocalVerdict::kIncluded) {
            x = apply.alpha * x + (1 - apply.alpha) * w;
          } else {
            x += w - before.w[static_cast<size_t>(e)];
          }
        }
      }
      offset += range.size();
    }
    for (int slab = 0; slab < table_->size(); ++slab) {
      const int fragment = (*table_)[slab].fragment;
      if (apply.fragment < 0 || fragment == apply.fragment) {
        node.base[fragment] = node.keeper->version(slab);
      }
    }
    if (apply.verdict == LocalVerdict::kReset) {
      node.lease = {};
      node.wants_lease = false;
      if (exact) node.step = apply.round;  // its round comes again
    }
    node.journal.took(apply.round, node.step - 1);  // the stable state comes after it
    node.answered = apply.token;
    act(i, node.machine->local_applied(now_, apply.token));
  }
  while (node.up && node.life == life && node.applies.empty() && !node.snapshots.empty()) {
    const TakeSnapshot take = node.snapshots.front();
    if (take.not_before_step > node.step) break;
    node.snapshots.erase(node.snapshots.begin());
    if (!exact) freeze(i, take.round, take.fragment);
  }
  if (node.up && node.life == life) after(0, [this, i, life] { train(i, life); });
}

void Simulator::freeze(int i, int64_t round, int fragment) {
  Island& node = *islands_[i];
  const bool exact = run_.exchange.mode == ExchangeMode::kGradient;
  journal_.push_back({Moment::What::kSnapshot, i, round, fragment, {}, {}});
  node.frozen[round] = exact ? node.gradient : node.x;
  while (node.frozen.size() > 2) node.frozen.erase(node.frozen.begin());
  node.journal.froze(round, node.step);
  node.journal.stable(node.step);
  if (!exact) node.kept = Island::Kept{node.x, node.base};
  act(i, node.machine->snapshot_ready(now_, round, node.step));
}

}  // namespace skarv::wan
