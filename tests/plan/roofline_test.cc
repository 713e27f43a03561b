#include "plan/cost/roofline.h"

#include <gtest/gtest.h>

#include "plan/cost/workload.h"

namespace skarv {
namespace {

ChipRates rates() {
  ChipRates rates;
  rates.matmul_flops = 1e12;
  rates.misaligned_flops = 1e11;
  rates.memory_bandwidth = 1e10;
  rates.kernel_s = 1e-3;
  rates.launch_s = 2e-3;
  rates.collective_s = 5e-3;
  return rates;
}

TEST(Transformer, CountsOperationsLikeMegatron) {
  // 24 b s h^2 + 4 b s^2 h for a block, cut by tensor parallelism; 2 b s h V for the head.
  const auto shape = TransformerShape::gpt(64, 4, 1000, 32);
  EXPECT_DOUBLE_EQ(block_work(shape, 3, 1).forward.matmul_flops,
                   24.0 * 3 * 32 * 64 * 64 + 4.0 * 3 * 32 * 32 * 64);
  EXPECT_DOUBLE_EQ(block_work(shape, 3, 2).forward.matmul_flops * 2,
                   block_work(shape, 3, 1).forward.matmul_flops);
  const LayerWork block = block_work(shape, 3, 2);
  EXPECT_DOUBLE_EQ(block.backward_input.matmul_flops + block.backward_weight.matmul_flops,
                   2 * block.forward.matmul_flops);
  EXPECT_EQ(block.forward.num_reductions, 2);
  EXPECT_EQ(block.backward_input.num_reductions + block.backward_weight.num_reductions, 2);
  EXPECT_EQ(block.forward.reduced_bytes, 3 * 32 * 64 * 2);
  EXPECT_EQ(block_work(shape, 3, 1).forward.num_reductions, 0);
  EXPECT_DOUBLE_EQ(head_work(shape, 3, 1).forward.matmul_flops, 2.0 * 3 * 32 * 64 * 1000);
  EXPECT_EQ(shape.block_parameters(), 12 * 64 * 64);
}

TEST(Transformer, SeesMisalignedVocabularies) {
  EXPECT_FALSE(head_work(TransformerShape::gpt(64, 4, 1000, 32), 1, 1).forward.misaligned);
  EXPECT_TRUE(head_work(TransformerShape::gpt(64, 4, 1001, 32), 1, 1).forward.misaligned);
  EXPECT_TRUE(head_work(TransformerShape::gpt(64, 4, 1000, 32), 1, 2).forward.misaligned);
}

TEST(Transformer, BlocksOfModelsHaveTheirParameters) {
  Model model{1000, 64, 2, 8, 2, 8, 160, 32};
  int64_t matrices = 0;
  for (const TensorSpec& tensor : tensors_of(model)) {
    if (tensor.layer == 1 && tensor.shape.size() == 2) matrices += tensor.num_elements();
  }
  EXPECT_EQ(TransformerShape::of(model, 2).block_parameters(), matrices);
}

TEST(Roofline, DeviceOrHostWhicheverIsLonger) {
  PassWork work;
  work.matmul_flops = 1e10;  // 10 ms
  work.moved_bytes = 1e8;    // 10 ms
  work.num_operations = 4;   // 4 ms of the device, 8 ms of the host
  work.num_reductions = 1;   // 3 ms of the device, 5 ms of the host
  EXPECT_NEAR(device_seconds(work, rates(), 3e-3), 27e-3, 1e-12);
  EXPECT_NEAR(host_seconds(work, rates()), 13e-3, 1e-12);
  EXPECT_NEAR(pass_seconds(work, rates(), 3e-3), 27e-3, 1e-12);
  work.matmul_flops = work.moved_bytes = 0;
  EXPECT_NEAR(pass_seconds(work, rates(), 3e-3), 13e-3, 1e-12);
  work.matmul_flops = 1e10;
  work.misaligned = true;
  EXPECT_NEAR(device_seconds(work, rates(), 0), 104e-3, 1e-12);
}

TEST(Roofline, RatesAreFractionsOfTheDataSheet) {
  const Result<Chip> chip = find_chip("a100-sxm-80");
  HardwareConstants constants;
  constants.matmul_fraction = 0.5;
  constants.memory_fraction = 0.75;
  const ChipRates half = rates_of(*chip, constants);
  EXPECT_DOUBLE_EQ(half.matmul_flops, 156e12);
  EXPECT_DOUBLE_EQ(half.memory_bandwidth, 1.5e12);
  constants.matmul_fraction = 1;  // nobody measured more than 271
  EXPECT_DOUBLE_EQ(rates_of(*chip, constants).matmul_flops, 271e12);
}

TEST(Roofline, EstimatesAProfileFromTheCatalog) {
  skarv::Run run;
  run.model = Model{32000, 4096, 32, 32, 8, 128, 14336, 4096};
  run.precision = Precision::kBf16;
  const Result<Profile> profile = estimate_profile(run, {"a100-sxm-80", "h20"});
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_TRUE(profile->estimated);
  const Result<Workload> workload = Workload::from_run(run, *profile);
  ASSERT_TRUE(workload.ok()) << workload.status();
  EXPECT_TRUE(workload->is_estimated("h20"));
  const Result<LayerCost> a100 = workload->cost("a100-sxm-80", 1, 1, 1);
  const Result<LayerCost> h20 = workload->cost("h20", 1, 1, 1);
  ASSERT_TRUE(a100.ok() && h20.ok());
  // A block of 218 M parameters, 4096 tokens: 1.9 TFLOP, at 250 TFLOP/s 7.8 ms; H20 half as fast.
  EXPECT_GT(a100->forward_ns, 7'000'000);
  EXPECT_LT(a100->forward_ns, 10'000'000);
  EXPECT_GT(h20->forward_ns, 1.6 * a100->forward_ns);
  EXPECT_LT(h20->forward_ns, 2.2 * a100->forward_ns);
  const Result<LayerCost> cut = workload->cost("h20", 1, 1, 8);
  ASSERT_TRUE(cut.ok());
  EXPECT_LT(cut->forward_ns, h20->forward_ns / 4);
  EXPECT_FALSE(estimate_profile(run, {"h21"}).ok());
}

TEST(Roofline, MeshesSendToAllNeighboursAtOnce) {
  skarv::Run run;
  run.model = Model{32000, 8192, 2, 64, 8, 128, 28672, 4096};
  run.precision = Precision::kBf16;
  const Result<Profile> profile = estimate_profile(run, {"mi300x", "h100-sxm"});
  ASSERT_TRUE(profile.ok());
  const auto forward = [&](const char* chip, int degree) {
    return layer_time(*profile, chip, LayerKind::kBlock, 4, degree)->forward;
  };
  // 64 GB/s to each of seven neighbours is as much as NVLink's 450 GB/s.
  EXPECT_LT(forward("mi300x", 8), 0.6 * forward("mi300x", 4));
  EXPECT_LT(forward("mi300x", 8), 1.7 * forward("h100-sxm", 8));
}

// An estimate in which only what the test names takes time or is short of the data sheet.
Result<LayerTime> estimated(const std::string& constants, LayerKind kind, int tensor_parallel) {
  skarv::Run run;
  run.model = Model{32000, 4096, 2, 32, 8, 128, 14336, 4096};
  SKARV_ASSIGN(const Constants parsed,
               Constants::from_json(Json::parse(R"({"estimate": )" + constants + "}"), "c.json"));
  SKARV_ASSIGN(const Profile profile, estimate_profile(run, {"h20"}, parsed));
  return layer_time(profile, "h20", kind, 1, tensor_parallel);
}

TEST(Roofline, EstimatesTakeHopsAndStartsFromTheConstants) {
  const auto forward = [](const std::string& constants) {
    return estimated(constants, LayerKind::kBlock, 2).value().forward;
  };
  // Two all-reduces of two chips: each 35 us to start and two hops.
  EXPECT_NEAR(forward(R"({"start_us": 35, "hop_us": 3})") - forward("{}"), 2 * (35 + 2 * 3) * 1e-6,
              1e-8);
}

TEST(Roofline, EstimatesInFp32RunAtTheirFractionOfThe16BitRate) {
  const auto forward = [](const std::string& constants) {
    return estimated(constants, LayerKind::kHead, 1).value().forward;
  };
  const double whole = forward("{}"), half = forward(R"({"fp32_fraction": 0.5})"),
               quarter = forward(R"({"fp32_fraction": 0.25})");
  EXPECT_GT(half, whole);
  EXPECT_NEAR(quarter - whole, 3 * (half - whole), 1e-9);  // products take 1, 2 and 4 times as long
}

TEST(Constants, AreFewForEachHardware) {
  const Result<Json> json = read_json(SKARV_SOURCE_DIR "/src/plan/cost/constants.json");
  ASSERT_TRUE(json.ok()) << json.status();
  for (const auto& [hardware, values] : json->items()) EXPECT_LT(values.size(), 10u) << hardware;
}

TEST(Constants, AreBuiltInAndComplete) {
  for (const char* hardware : {"a100", "v100_t4", "estimate"}) {
    EXPECT_TRUE(Constants::built_in().of(hardware).ok()) << hardware;
  }
  const Result<HardwareConstants> a100 = Constants::built_in().of("a100");
  const Result<HardwareConstants> v100 = Constants::built_in().of("v100_t4");
  EXPECT_EQ(v100->matmul_fraction, a100->matmul_fraction);  // "like"
  EXPECT_GT(v100->step_ms, 0);
}

TEST(Constants, RefusesWhatMakesNoSense) {
  const struct {
    const char *json, *part;
  } cases[] = {{"[]", "an object by hardware"},
               {R"({"x": 1})", "c.json: x"},
               {R"({"x": {"matmul_fraction": 2}})", "between 0.01 and 1"},
               {R"({"x": {"matmul_fraction": "fast"}})", "not a number"},
               {R"({"x": {"matmul_faction": 0.5}})", "is it matmul_fraction?"},
               {R"({"x": {"like": "y"}})", "no constants of y"}};
  for (const auto& [text, part] : cases) {
    const Result<Constants> constants = Constants::from_json(Json::parse(text), "c.json");
    ASSERT_FALSE(constants.ok()) << text;
    EXPECT_NE(constants.status().to_string().find(part), std::string::npos) << constants.status();
  }
}

}  // namespace
}  // namespace skarv
