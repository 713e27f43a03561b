#include "comm/edges.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "comm/clip.h"
#include "comm/ranks.h"
#include "comm/slab_exchange.h"
#include "spec/model.h"

namespace skarv::comm {
namespace {

constexpr Duration kPatience = std::chrono::seconds(20);

class Edges : public testing::TestWithParam<const char*> {};

TEST_P(Edges, AllRanksSendBeforeAnyReceives) {
  run_ranks(GetParam(), 3, [](comm::Edges& edges) {
    const int64_t num_elements = 100'000;
    for (int peer = 0; peer < 3; ++peer) {
      if (peer == edges.rank()) continue;
      for (int part = 0; part < 4; ++part) {
        const Status sent =
            edges.send(peer, {Payload::kActivation, 0, 0, 0, part},
                       at::full({num_elements}, 10.0 * edges.rank() + part, at::kFloat));
        ASSERT_TRUE(sent.ok()) << sent;
      }
    }
    for (int part = 3; part >= 0; --part) {  // not in the order of sending
      for (int peer = 0; peer < 3; ++peer) {
        if (peer == edges.rank()) continue;
        at::Tensor into = at::empty({num_elements}, at::kFloat);
        const auto arrived =
            edges.receive(peer, {Payload::kActivation, 0, 0, 0, part}, into, kPatience);
        ASSERT_TRUE(arrived.ok()) << arrived.status();
        EXPECT_TRUE(at::equal(into, at::full({num_elements}, 10.0 * peer + part, at::kFloat)));
      }
    }
  });
}

TEST_P(Edges, SaysWhoIsMissingWithWhat) {
  run_ranks(GetParam(), 2, [](comm::Edges& edges) {
    if (edges.rank() != 0) return;
    at::Tensor into = at::empty({1000}, at::kFloat);
    const auto arrived =
        edges.receive(1, {Payload::kActivation, 0, 0, 2, 5}, into, std::chrono::milliseconds(100));
    EXPECT_EQ(
        arrived.status().message(),
        "north/a/1 has not sent the activation of microbatch 5 for stage 2 (4.00 kB) for 0.1 s");
    EXPECT_EQ(arrived.status().scope(), Scope::kPeer);
  });
}

TEST_P(Edges, RefusesAnotherSize) {
  run_ranks(GetParam(), 2, [](comm::Edges& edges) {
    const Tag tag{Payload::kGradient, 0, 0, 0, 0};
    if (edges.rank() == 1) {
      EXPECT_TRUE(edges.send(0, tag, at::full({3}, 1.0, at::kFloat)).ok());
      return;
    }
    at::Tensor into = at::empty({4}, at::kFloat);
    EXPECT_EQ(edges.receive(1, tag, into, kPatience).status().code(), Code::kDataLoss);
  });
}

TEST_P(Edges, ClipIsDecidedOnce) {
  run_ranks(GetParam(), 3, [](comm::Edges& edges) {
    const auto clip = agree_on_clip(edges, 0, 3.0, 1.5, kPatience);
    ASSERT_TRUE(clip.ok()) << clip.status();
    EXPECT_DOUBLE_EQ(clip->norm, 3.0);
    EXPECT_DOUBLE_EQ(clip->factor, 0.5);
    EXPECT_FALSE(clip->skip);
    const double bad = edges.rank() == 2 ? std::numeric_limits<double>::quiet_NaN() : 1.0;
    const auto skip = agree_on_clip(edges, 1, bad, 1.0, kPatience);
    ASSERT_TRUE(skip.ok());
    EXPECT_TRUE(skip->skip);
  });
}

INSTANTIATE_TEST_SUITE_P(Transports, Edges, testing::Values("mem", "tcp"),
                         [](const auto& info) { return info.param; });

Model tiny_model() {
  return {.vocabulary = 64,
          .hidden = 16,
          .num_blocks = 2,
          .num_heads = 2,
          .num_kv_heads = 1,
          .head_dim = 8,
          .ffn = 32,
          .context = 8};
}

// Three pipelines of one stage each, so that all ranks hold everything.
struct Replicas {
  Replicas() : table(tiny_model(), 1) {
    Island island{.name = "north"};
    for (int i = 0; i < 3; ++i) {
      const std::string device = "north/a/" + std::to_string(i);
      island.pipelines.push_back({.microbatch = 1,
                                  .samples = 1,
                                  .stages = {{.first = 0, .last = 4, .devices = {device}}}});
    }
    plan.islands = {island};
    plan.owner_share = {{"north/a/0", 1.0}, {"north/a/1", 0.5}, {"north/a/2", 2.0}};
    ownership = ownership_of(plan.islands[0], plan, table);
  }
  SlabTable table;
  Plan plan;
  Ownership ownership;
};

void exchange_as(const std::string& kind) {
  const Replicas replicas;
  ASSERT_EQ(replicas.ownership.groups.size(), 1u);
  const ReduceGroup& group = replicas.ownership.groups[0];
  const auto folder = std::filesystem::path(testing::TempDir()) /
                      ("skarv-gloo-" + kind + "-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  run_ranks("mem", 3, [&](comm::Edges& edges) {
    const GroupContext context{.index = 0,
                               .group = &group,
                               .ownership = &replicas.ownership,
                               .table = &replicas.table,
                               .device = Device::open("cpu").value(),
                               .store = folder.string(),
                               .patience = kPatience};
    std::unique_ptr<SlabExchange> exchange;
    if (kind == "net") {
      exchange = make_net_exchange(context, edges);
    } else {
      auto made = make_gloo_exchange(context, edges.rank());
      ASSERT_TRUE(made.ok()) << made.status();
      exchange = std::move(*made);
    }
    std::vector<at::Tensor> slabs;
    for (int slab = 0; slab < replicas.table.size(); ++slab) {
      slabs.push_back(
          at::full({replicas.table[slab].size()}, slab + 100.0 * edges.rank(), at::kFloat));
    }
    const auto view = [&](int slab) { return slabs[slab]; };
    const auto reduced = exchange->reduce(group.slabs, view, kPatience);
    ASSERT_TRUE(reduced.ok()) << reduced.status();
    for (int slab : group.slabs) {
      if (replicas.ownership.owner[slab] != edges.rank()) continue;
      EXPECT_EQ(slabs[slab][0].item().toDouble(), 3.0 * slab + 300) << slab;
      slabs[slab].fill_(slab + 0.25);
    }
    const auto gathered = exchange->gather(group.slabs, view, kPatience);
    ASSERT_TRUE(gathered.ok()) << gathered.status();
    for (int slab : group.slabs) {
      EXPECT_TRUE(at::equal(slabs[slab], at::full_like(slabs[slab], slab + 0.25))) << slab;
    }
  });
  std::filesystem::remove_all(folder);
}

TEST(SlabExchange, OverNet) { exchange_as("net"); }
TEST(SlabExchange, OverGloo) { exchange_as("gloo"); }

TEST(SlabExchange, ChoosesByMakerAndSite) {
  const ReduceGroup group{.members = {0, 2}};
  const std::vector<std::string> near{"north/a/0", "north/a/1", "north/b/0"};
  const std::vector<std::string> far{"north/a/0", "north/a/1", "south/b/0"};
  EXPECT_TRUE(one_maker_and_site(group, near, {"cpu", "toy", "cpu"}));
  EXPECT_FALSE(one_maker_and_site(group, near, {"cpu", "cpu", "toy"}));
  EXPECT_FALSE(one_maker_and_site(group, far, {"cpu", "toy", "cpu"}));
}

}  // namespace
}  // namespace skarv::comm
