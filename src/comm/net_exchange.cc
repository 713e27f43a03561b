// Reduce groups over the island's edges: the way across makers and sites. Each member sends the
// gradients of an owner's slabs to that owner, which adds them in rank order.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>

#include "comm/bucket.h"
#include "comm/slab_exchange.h"
#include "device/torch_error.h"

namespace skarv::comm {
namespace {

class NetExchange : public SlabExchange {
 public:
  NetExchange(const GroupContext& context, Edges& edges) : context_(context), edges_(edges) {}

  Result<Exchanged> reduce(const std::vector<int>& slabs, const SlabView& gradients,
                           Duration patience) override {
    return guarded("reduce over net", [&] { return run_reduce(slabs, gradients, patience); });
  }
  Result<Exchanged> gather(const std::vector<int>& slabs, const SlabView& values,
                           Duration patience) override {
    return guarded("gather over net", [&] { return run_gather(slabs, values, patience); });
  }

 private:
  Tag tag(Payload payload, int owner, size_t part) const {
    return {payload, sequence_, context_.index, owner, static_cast<int32_t>(part)};
  }

  Result<Exchanged> run_reduce(const std::vector<int>& slabs, const SlabView& gradients,
                               Duration patience) {
    ++sequence_;
    const std::vector<Bucket> buckets = buckets_of(slabs, *context_.ownership, *context_.table);
    Exchanged done;
    for (size_t part = 0; part < buckets.size(); ++part) {
      if (buckets[part].owner == edges_.rank() || single()) continue;
      at::Tensor flat = pack(buckets[part], gradients);
      done.bytes += flat.nbytes();
      SKARV_TRY(edges_.send(buckets[part].owner,
                            tag(Payload::kSlabGradients, buckets[part].owner, part), flat));
    }
    for (size_t part = 0; part < buckets.size(); ++part) {
      if (buckets[part].owner != edges_.rank() || single()) continue;
      // The sum starts with the lowest rank, whoever owns, so that it does not depend on that.
      at::Tensor own = pack(buckets[part], gradients);
      at::Tensor received = at::empty_like(own);
      at::Tensor sum;
      for (int member : context_.group->members) {
        if (member != edges_.rank()) {
          SKARV_ASSIGN(Time arrived,
                       edges_.receive(member, tag(Payload::kSlabGradients, edges_.rank(), part),
                                      received, patience));
          done.arrived = std::max(done.arrived, arrived);
        }
        const at::Tensor& addend = member == edges_.rank() ? own : received;
        if (sum.defined()) {
          sum.add_(addend);
        } else {
          sum = addend.clone();
        }
      }
      unpack(buckets[part], sum, gradients, /*accumulate=*/false);
    }
    return done;
  }

  Result<Exchanged> run_gather(const std::vector<int>& slabs, const SlabView& values,
                               Duration patience) {
    ++sequence_;
    const std::vector<Bucket> buckets = buckets_of(slabs, *context_.ownership, *context_.table);
    Exchanged done;
    for (size_t part = 0; part < buckets.size(); ++part) {
      if (buckets[part].owner != edges_.rank() || single()) continue;
      at::Tensor flat = pack(buckets[part], values);
      for (int member : context_.group->members) {
        if (member == edges_.rank()) continue;
        done.bytes += flat.nbytes();
        SKARV_TRY(edges_.send(member, tag(Payload::kSlabValues, edges_.rank(), part), flat));
      }
    }
    for (size_t part = 0; part < buckets.size(); ++part) {
      const Bucket& bucket = buckets[part];
      if (bucket.owner == edges_.rank() || single()) continue;
      at::Tensor flat = at::empty({bucket.num_elements}, values(bucket.slabs[0]).options());
      SKARV_ASSIGN(Time arrived,
                   edges_.receive(bucket.owner, tag(Payload::kSlabValues, bucket.owner, part), flat,
                                  patience));
      done.arrived = std::max(done.arrived, arrived);
      unpack(bucket, flat, values, /*accumulate=*/false);
    }
    return done;
  }

  bool single() const { return context_.group->members.size() == 1; }

  const GroupContext context_;
  Edges& edges_;
  int64_t sequence_ = 0;  // exchanges so far: equal on all members
};

}  // namespace

std::unique_ptr<SlabExchange> make_net_exchange(const GroupContext& context, Edges& edges) {
  return std::make_unique<NetExchange>(context, edges);
}

}  // namespace skarv::comm
