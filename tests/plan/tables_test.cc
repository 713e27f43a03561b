#include <gtest/gtest.h>

#include "base/random.h"
#include "plan/tables/profile_tables.h"

namespace skarv {
namespace {

constexpr const char* kSizes =
    "model,tensor_parallel,layer,parameters,activation_out_bytes,activation_memory_bytes\n"
    "tiny,1,0,50,512,8\ntiny,1,1,100,512,40\ntiny,1,2,100,512,40\ntiny,1,3,60,0,20\n"
    "tiny,2,0,25,512,8\n";
constexpr const char* kTimes =
    "model,chip,micro_batch,tensor_parallel,layer,forward_s,backward_s,update_s\n"
    "tiny,a,1,1,0,0.001,0,0.01\ntiny,a,1,1,1,0.010,0.020,0.01\ntiny,a,1,1,2,0.012,0.024,0.01\n"
    "tiny,a,1,1,3,0.002,0.004,0.01\n"
    "tiny,a,4,1,1,0.042,0.084,0.01\n";

Result<Workload> workload(const std::string& times, const std::string& sizes = kSizes,
                          const std::string& model = "tiny") {
  SKARV_ASSIGN(const CsvTable time_table, CsvTable::parse(times, "times.csv"));
  SKARV_ASSIGN(const CsvTable size_table, CsvTable::parse(sizes, "sizes.csv"));
  return workload_from_tables(time_table, size_table, model, 16);
}

std::string message_of(const Status& status) { return status.to_string(); }

TEST(Csv, ReadsQuotesCommentsAndLineEnds) {
  const Result<CsvTable> table =
      CsvTable::parse("# note\r\na,b\r\n\r\n\"x, \"\"y\"\"\",2\r\n", "t.csv");
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_EQ(table->num_rows(), 1);
  EXPECT_EQ(table->row(0).text(0), "x, \"y\"");
  EXPECT_EQ(*table->row(0).integer(1), 2);
  EXPECT_EQ(table->row(0).line(), 4);
}

TEST(Csv, ASpreadsheetsMarkIsNoPartOfTheFirstColumn) {
  const Result<CsvTable> table = CsvTable::parse(
      "\xEF\xBB\xBF"
      "a,b\n1,2\n",
      "t.csv");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(*table->column("a"), 0);
}

TEST(Csv, RefusesWithFileAndLine) {
  const struct {
    const char *text, *part;
  } cases[] = {{"", "t.csv: no header"},
               {"a,a\n1,2\n", "t.csv:1: two columns are named a"},
               {"a,\n", "t.csv:1: column 2 has no name"},
               {"a,b\n1,2\n1\n", "t.csv:3: 1 fields where the header has 2"},
               {"a,b\n1,\"2\n", "t.csv:2: a quote that never ends"}};
  for (const auto& [text, part] : cases) {
    const Result<CsvTable> table = CsvTable::parse(text, "t.csv");
    ASSERT_FALSE(table.ok()) << text;
    EXPECT_NE(message_of(table.status()).find(part), std::string::npos) << table.status();
  }
  EXPECT_FALSE(CsvTable::read("no/such.csv").ok());
}

TEST(Csv, RefusesFiguresThatAreNone) {
  const Result<CsvTable> table = CsvTable::parse("a,seconds\n1.5,x\n-2,nan\n,1e400\n", "t.csv");
  ASSERT_TRUE(table.ok());
  EXPECT_NE(message_of(table->row(0).integer(0).status()).find("whole"), std::string::npos);
  EXPECT_NE(message_of(table->row(0).number(1).status()).find("t.csv:2: seconds: \"x\""),
            std::string::npos);
  EXPECT_FALSE(table->row(1).number(0).ok());
  EXPECT_FALSE(table->row(1).number(1).ok());
  EXPECT_FALSE(table->row(2).number(0).ok());
  EXPECT_FALSE(table->row(2).number(1).ok());
  const Result<int> column = table->column("second");
  ASSERT_FALSE(column.ok());
  EXPECT_NE(message_of(column.status()).find("is it seconds?"), std::string::npos);
}

TEST(Csv, NoiseIsRefusedOrRead) {
  const CounterRandom random(7, "csv noise");
  const std::string letters = "\",\n\r#19.e-tinya\0";
  for (uint64_t round = 0; round < 2000; ++round) {
    std::string times = kTimes, sizes = kSizes;
    for (uint64_t i = 0; i < 4; ++i) {
      std::string& text = i % 2 == 0 ? times : sizes;
      const auto word = static_cast<uint64_t>(random.below(round * 8 + 2 * i, text.size()));
      text[word] = letters[random.below(round * 8 + 2 * i + 1, letters.size())];
    }
    const Result<Workload> result = workload(times, sizes);
    EXPECT_TRUE(result.ok() || !result.status().message().empty());
  }
}

TEST(LayerTables, AveragesEqualLayersAndHalvesBackwards) {
  const Result<Workload> tiny = workload(kTimes);
  ASSERT_TRUE(tiny.ok()) << tiny.status();
  EXPECT_EQ(tiny->num_layers(), 4);
  EXPECT_EQ(tiny->num_kinds(), 3);
  EXPECT_EQ(tiny->kind(1), tiny->kind(2));
  EXPECT_EQ(tiny->size(1).parameters, 100);
  const Result<LayerCost> cost = tiny->cost("a", 2, 1, 1);
  ASSERT_TRUE(cost.ok()) << cost.status();
  EXPECT_EQ(cost->forward_ns, 11'000'000);
  EXPECT_EQ(cost->backward_input_ns, 11'000'000);
  EXPECT_EQ(cost->backward_weight_ns, 11'000'000);
  EXPECT_EQ(cost->kept_bytes, 40);
  EXPECT_FALSE(tiny->is_estimated("a"));
}

TEST(LayerTables, InterpolatesMissingMicrobatches) {
  const Result<Workload> tiny = workload(kTimes);
  ASSERT_TRUE(tiny.ok());
  // 11 ms at 1, 42 ms at 4: a third of the way at 2; beyond the largest in proportion.
  EXPECT_EQ(tiny->cost("a", 1, 2, 1)->forward_ns, 11'000'000 + 31'000'000 / 3);
  EXPECT_EQ(tiny->cost("a", 1, 8, 1)->forward_ns, 84'000'000);
}

TEST(LayerTables, RefusesAbsentChipsWithTheNearest) {
  const Result<Workload> tiny = workload(std::string(kTimes) + "tiny,RTX-3090,1,1,1,1,1,1\n");
  ASSERT_TRUE(tiny.ok());
  const Result<LayerCost> cost = tiny->cost("RTX-3080", 1, 1, 1);
  ASSERT_FALSE(cost.ok());
  EXPECT_NE(message_of(cost.status()).find("the nearest is RTX-3090"), std::string::npos);
}

TEST(LayerTables, NamesFileAndLine) {
  const std::string header = std::string(kTimes).substr(0, std::string(kTimes).find('\n') + 1);
  const struct {
    std::string times, sizes, part;
  } cases[] = {
      {header + "tiny,a,1,1,4,1,1,1\n", kSizes, "times.csv:2: layer: layer 4, but sizes.csv has 4"},
      {header + "tiny,a,0,1,1,1,1,1\n", kSizes, "times.csv:2: micro_batch"},
      {header + "tiny,a,1,1,1,-1,1,1\n", kSizes, "times.csv:2: forward_s"},
      {header + "tiny,a,1,1,1,1,soon,1\n", kSizes, "times.csv:2: backward_s: \"soon\""},
      {header, kSizes, "times.csv: no model tiny"},
      {kTimes, std::string(kSizes) + "tiny,1,0,1,1,1\n", "sizes.csv:7: layer 0 of tiny for the se"},
      {kTimes, std::string(kSizes) + "tiny,1,5,1,1,1\n", "sizes.csv: no layer 4 of tiny"}};
  for (const auto& [times, sizes, part] : cases) {
    const Result<Workload> result = workload(times, sizes);
    ASSERT_FALSE(result.ok()) << part;
    EXPECT_NE(message_of(result.status()).find(part), std::string::npos) << result.status();
  }
  const Result<Workload> misspelt = workload(kTimes, kSizes, "tinny");
  ASSERT_FALSE(misspelt.ok());
  EXPECT_NE(message_of(misspelt.status()).find("is it tiny?"), std::string::npos);
}

TEST(ProfileTables, SumsWhatStandsBehindTheBlocks) {
  const std::string sizes = std::string(kSizes) + "tiny,1,4,10,0,5\n";  // a norm, then the head
  const std::string times = std::string(kTimes) + "tiny,a,1,1,4,0.003,0.006,0.01\n";
  const CsvTable time_table = *CsvTable::parse(times, "times.csv");
  const CsvTable size_table = *CsvTable::parse(sizes, "sizes.csv");
  Model model{100, 8, 2, 2, 1, 4, 16, 16};
  const Result<Profile> profile = profile_from_tables(time_table, size_table, "tiny", model);
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_FALSE(profile->estimated);
  EXPECT_EQ(profile->model, digest_of(model).hex());
  EXPECT_DOUBLE_EQ(layer_time(*profile, "a", LayerKind::kBlock, 1, 1)->forward, 0.011);
  EXPECT_DOUBLE_EQ(layer_time(*profile, "a", LayerKind::kBlock, 4, 1)->forward, 0.042);
  EXPECT_NEAR(layer_time(*profile, "a", LayerKind::kHead, 1, 1)->backward_weight, 0.005, 1e-12);
  EXPECT_NEAR(layer_time(*profile, "a", LayerKind::kEmbedding, 1, 1)->forward, 0.001, 1e-12);
  EXPECT_DOUBLE_EQ(layer_time(*profile, "a", LayerKind::kHead, 1, 1)->activation_bytes, 25);
  for (const int64_t num_blocks : {1, 3, 9}) {
    model.num_blocks = num_blocks;
    const Status status = profile_from_tables(time_table, size_table, "tiny", model).status();
    EXPECT_NE(message_of(status).find("sizes.csv: tiny"), std::string::npos) << status;
  }
  model.num_blocks = 2;
  for (int64_t Model::*const part : {&Model::hidden, &Model::context}) {
    Model other = model;
    other.*part *= 3;
    const Status status = profile_from_tables(time_table, size_table, "tiny", other).status();
    EXPECT_NE(message_of(status).find("would be 1536 (fp32) or 768"), std::string::npos) << status;
  }
}

TEST(ProfileTables, ChipsGetTheirNamesOfTheCatalog) {
  std::string times = kTimes;
  for (size_t at = times.find(",a,"); at != std::string::npos; at = times.find(",a,", at)) {
    times.replace(at, 3, ",V100-16,");
  }
  const Result<Profile> profile = profile_from_tables(*CsvTable::parse(times, "times.csv"),
                                                      *CsvTable::parse(kSizes, "sizes.csv"), "tiny",
                                                      Model{100, 8, 2, 2, 1, 4, 16, 16});
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->layers.front().chip, "v100-sxm2-16");
}

constexpr const char* kNetworks =
    "scope,from_chip,from_chips_in_node,from_zone,to_chip,to_chips_in_node,to_zone,"
    "bytes_per_s_at_1MB,bytes_per_s_at_4MB,bytes_per_s_at_16MB,bytes_per_s_at_64MB,"
    "bytes_per_s_at_256MB,bytes_per_s_at_1024MB\n"
    "in_node,a,2,,a,2,,1e9,2e9,4e9,4e9,4e9,3.9e9\n"
    "between_nodes,a,2,z,b,4,z,1e8,1e8,1e8,1e8,1e8,1e8\n";

TEST(NetworkTable, FindsCurvesAndSaysWhatThereIs) {
  const Result<CsvTable> table = CsvTable::parse(kNetworks, "net.csv");
  ASSERT_TRUE(table.ok());
  const Result<NetworkTable> network = NetworkTable::from_csv(*table);
  ASSERT_TRUE(network.ok()) << network.status();
  EXPECT_NEAR(network->in_node("a", 2)->transfer_ns(4 << 20), (4 << 20) / 2, 1);
  EXPECT_EQ(network->between({"a", 2, "z"}, {"b", 4, "z"})->transfer_ns(1'000'000), 10'000'000);
  EXPECT_NE(message_of(network->in_node("a", 8).status()).find("nodes of 2"), std::string::npos);
  EXPECT_NE(message_of(network->between({"a", 2, "z"}, {"b", 8, "z"}).status()).find("b x 4 in z"),
            std::string::npos);
}

TEST(NetworkTable, RefusesNonsense) {
  std::string text = kNetworks;
  text.replace(text.find("between_nodes"), 13, "beside");
  const Result<CsvTable> scope = CsvTable::parse(text, "net.csv");
  EXPECT_NE(message_of(NetworkTable::from_csv(*scope).status()).find("net.csv:3"),
            std::string::npos);
  text = kNetworks;
  text.replace(text.find("1e9"), 3, "-19");
  const Result<CsvTable> negative = CsvTable::parse(text, "net.csv");
  EXPECT_NE(message_of(NetworkTable::from_csv(*negative).status()).find("net.csv:2"),
            std::string::npos);
}

}  // namespace
}  // namespace skarv
