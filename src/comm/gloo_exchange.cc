// Reduce groups over c10d's Gloo: members of one maker in one site. The only file that includes
// c10d. Gloo takes host memory only, so accelerators pass through it here as well; their own
// collectives (NCCL, HCCL) come as plug-ins of their maker.
#define USE_DISTRIBUTED
#define USE_C10D_GLOO
#include <ATen/core/Tensor.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "base/text.h"
#include "comm/bucket.h"
#include "comm/slab_exchange.h"
#include "device/torch_error.h"

namespace skarv::comm {
namespace {

std::chrono::milliseconds milliseconds(Duration duration) {
  return std::max(std::chrono::milliseconds(1),
                  std::chrono::duration_cast<std::chrono::milliseconds>(duration));
}

class GlooExchange : public SlabExchange {
 public:
  GlooExchange(const GroupContext& context, int rank) : context_(context), rank_(rank) {
    const std::vector<int>& members = context.group->members;
    const auto place = std::find(members.begin(), members.end(), rank);
    const int size = static_cast<int>(members.size());
    const std::filesystem::path file = std::filesystem::path(context.store) /
                                       cat("group-", context.incarnation, "-", context.index);
    auto store = c10::make_intrusive<c10d::FileStore>(file.string(), size);
    store->setTimeout(milliseconds(context.patience));
    auto options = c10d::ProcessGroupGloo::Options::create(milliseconds(context.patience));
    options->threads = 1;
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(context.host));
    group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(
        store, static_cast<int>(place - members.begin()), size, options);
  }

  Result<Exchanged> reduce(const std::vector<int>& slabs, const SlabView& gradients,
                           Duration patience) override {
    return exchange("reduce", slabs, patience, [&](const Bucket& bucket) {
      at::Tensor flat = pack(bucket, gradients).cpu();
      std::vector<at::Tensor> tensors{flat};
      c10d::ReduceOptions options;
      options.rootRank = place_of(bucket.owner);
      options.timeout = milliseconds(patience);
      group_->reduce(tensors, options)->wait();
      if (bucket.owner != rank_) return static_cast<int64_t>(flat.nbytes());
      unpack(bucket, flat, gradients, /*accumulate=*/false);
      return int64_t{0};
    });
  }

  Result<Exchanged> gather(const std::vector<int>& slabs, const SlabView& values,
                           Duration patience) override {
    return exchange("gather", slabs, patience, [&](const Bucket& bucket) {
      at::Tensor flat = pack(bucket, values).cpu();
      std::vector<at::Tensor> tensors{flat};
      c10d::BroadcastOptions options;
      options.rootRank = place_of(bucket.owner);
      options.timeout = milliseconds(patience);
      group_->broadcast(tensors, options)->wait();
      if (bucket.owner == rank_) {
        return static_cast<int64_t>(flat.nbytes()) *
               static_cast<int64_t>(context_.group->members.size() - 1);
      }
      unpack(bucket, flat, values, /*accumulate=*/false);
      return int64_t{0};
    });
  }

 private:
  template <typename Move>
  Result<Exchanged> exchange(const char* what, const std::vector<int>& slabs, Duration patience,
                             Move&& move) {
    Exchanged done;
    try {
      for (const Bucket& bucket : buckets_of(slabs, *context_.ownership, *context_.table)) {
        done.bytes += move(bucket);
      }
    } catch (const std::exception& error) {
      // Gloo names an address, not a rank: the members are the best that can be said.
      const std::string text = error.what();
      std::vector<std::string> others;
      for (int member : context_.group->members) {
        if (member != rank_) others.push_back(context_.ownership->devices[member]);
      }
      return Status(Code::kUnavailable, Scope::kPeer,
                    cat("one of ", join(others, ", "), " did not take part in the ", what,
                        " of group ", context_.index, " within ", fixed(to_seconds(patience), 1),
                        " s: ", text.substr(0, text.find('\n'))));
    }
    done.arrived = Clock::real().now();
    return done;
  }

  int place_of(int rank) const {
    const std::vector<int>& members = context_.group->members;
    return static_cast<int>(std::find(members.begin(), members.end(), rank) - members.begin());
  }

  const GroupContext context_;
  const int rank_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

}  // namespace

Result<std::unique_ptr<SlabExchange>> make_gloo_exchange(const GroupContext& context, int rank) {
  try {
    return std::unique_ptr<SlabExchange>(std::make_unique<GlooExchange>(context, rank));
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return Status(Code::kUnavailable, Scope::kPeer,
                  cat("reduce group ", context.index, " of incarnation ", context.incarnation,
                      " did not form: ", text.substr(0, text.find('\n'))))
        .at(context.store);
  }
}

}  // namespace skarv::comm
