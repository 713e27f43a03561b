// What a collective operation of equal devices takes, by the algorithms that NCCL, RCCL and HCCL
// really run. From the moment the last member arrives to the moment all have the result; waiting
// for members is the simulator's business. Pure, any thread.
#pragma once

#include <cstdint>

#include "plan/cost/link_cost.h"

namespace skarv {

enum class Collective { kAllReduce, kReduceScatter, kAllGather };

// A group as its links see it. Members are dealt to hosts in blocks: the last host may hold fewer.
struct GroupShape {
  int num_devices = 1;
  int devices_per_host = 1;  // members of this group on one host
  LinkCost inside;           // between two members on one host; not read when each has its own host
  LinkCost between;          // out of a host, all its NICs together; not read on a single host
  // Groups of this shape that run at the same time on the same hosts and share `between`.
  int num_sharing = 1;
  int64_t start_ns = 0;  // kernel launch and rendezvous, once an operation

  int num_hosts() const { return (num_devices + devices_per_host - 1) / devices_per_host; }
};

// `bytes`: the whole vector (what all-reduce sums, reduce-scatter takes, all-gather gives). The
// cheapest of
//  ring:         s rounds (all-reduce 2(n-1), the others n-1); bytes * s/n pass every link, in
//                chunks that follow each other, so the slowest link counts and each round adds the
//                latency of its slowest link;
//  tree:         all-reduce only: up and down, over chains inside the hosts and a binary tree
//  between
//                them; 2(g-1) latencies inside, 2 ceil(log2 hosts) outside, 2 * bytes over each
//                link;
//  hierarchical: reduce-scatter inside, ring or tree between the hosts with 1/g of the vector on
//                each of the g rails, all-gather inside (the half that the operation needs).
// One device: 0.
int64_t collective_ns(Collective collective, int64_t bytes, const GroupShape& group);

}  // namespace skarv
