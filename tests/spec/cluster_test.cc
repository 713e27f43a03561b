#include "spec/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "spec/examples.h"

namespace skarv {
namespace {

using testing::HasSubstr;

TEST(Cluster, ReadsAFileAndExpandsDevices) {
  const Result<Cluster> read = parse_cluster(kClusterToml, "folder/cluster.toml");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->num_devices(), 6);
  const std::vector<DeviceInfo> devices = *expand_devices(*read);
  ASSERT_EQ(devices.size(), 6);
  EXPECT_EQ(devices[0].name, "north/a/0");
  EXPECT_EQ(devices[1].name, "north/a/1");
  EXPECT_EQ(devices[1].chip.maker, "toy");
  EXPECT_EQ(devices[1].plugin, "folder/libtoy.so");
  EXPECT_EQ(devices[1].memory_bytes, 4'000'000'000);
  EXPECT_EQ(devices[1].ordinal, 0) << "the first of its kind on its host";
  EXPECT_EQ(devices[5].ordinal, 1);
  EXPECT_EQ(devices[5].name, "south/b1/1");
  EXPECT_EQ(devices[5].memory_bytes, 90'000'000'000);
  EXPECT_EQ(read->sites[0].uplink_bandwidth, 125e6);
  const Link* link = read->find_link("south", "north");
  ASSERT_NE(link, nullptr);
  EXPECT_EQ(link->bandwidth, 12.5e6);
  EXPECT_DOUBLE_EQ(link->loss, 0.001);
  EXPECT_EQ(read->find_link("south", "south"), nullptr);
}

TEST(Cluster, JsonRoundTrips) {
  const Cluster cluster = example_cluster();
  const Result<Cluster> read = cluster_from_json(to_json(cluster), "coordinator");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(to_json(*read), to_json(cluster));
}

TEST(Chip, CatalogMarksWhatNobodyVerified) {
  EXPECT_TRUE(find_chip("h100-sxm")->dense_flops.verified);
  EXPECT_EQ(find_chip("h100-sxm")->dense_flops.value, 989e12);
  EXPECT_FALSE(find_chip("ascend-910b4")->memory_bytes.verified);
  EXPECT_FALSE(find_chip("cpu")->dense_flops.verified);
  EXPECT_THAT(unverified_figures(*find_chip("h100-sxm")), testing::IsEmpty());
  EXPECT_THAT(unverified_figures(*find_chip("ascend-910b4")),
              testing::ElementsAre("memory", "memory bandwidth", "link bandwidth"));
  EXPECT_FALSE(find_chip("v100-sxm2-32")->has_bf16);
  const Status status = find_chip("a100-sxm-8").status();
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.hint(), HasSubstr("a100-sxm-80"));
}

TEST(Chip, AllVariantsOfWhatPeopleWriteAreNamed) {
  const auto hint = [](const char* name) { return find_chip(name).status().hint(); };
  EXPECT_EQ(hint("A100"), "did you mean a100-sxm-40 or a100-sxm-80 or a100-pcie-80?");
  EXPECT_EQ(hint("RTX 4090"), "did you mean rtx-4090?");
  EXPECT_THAT(hint("910B"), HasSubstr("ascend-910b2"));
  EXPECT_EQ(hint("h2O0"), "did you mean h200?");
  EXPECT_THAT(hint(""), HasSubstr("known chips"));
}

struct BadFile {
  const char* name;
  const char* old_text;
  const char* new_text;
  const char* place;
  const char* word;
  const char* hint = "";
};
std::ostream& operator<<(std::ostream& out, const BadFile& file) { return out << file.name; }

class BadCluster : public testing::TestWithParam<BadFile> {};

TEST_P(BadCluster, IsRefusedWithItsPlace) {
  const BadFile& bad = GetParam();
  std::string toml = kClusterToml;
  const size_t at = toml.find(bad.old_text);
  ASSERT_NE(at, std::string::npos);
  toml.replace(at, std::string(bad.old_text).size(), bad.new_text);
  const Status status = parse_cluster(toml, "cluster.toml").status();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_EQ(status.origin(), bad.place);
  EXPECT_THAT(status.message(), HasSubstr(bad.word));
  EXPECT_THAT(status.hint(), HasSubstr(bad.hint));
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadCluster,
    testing::Values(
        BadFile{"unknown_chip", "\"h20\"", "\"h2O0\"", "cluster.toml:18", "h2O0", "h200"},
        BadFile{"chip_missing", "chip = \"cpu\", ", "", "cluster.toml:10", "chip is missing"},
        BadFile{"negative_bandwidth", "\"100 Mbit/s\"", "\"-100 Mbit/s\"", "cluster.toml:23",
                "negative"},
        BadFile{"no_bandwidth", "\"100 Mbit/s\"", "0", "cluster.toml:23", "bandwidth is 0"},
        BadFile{"size_for_rate", "\"100 Mbit/s\"", "\"100 MB\"", "cluster.toml:23", "unknown unit",
                "Mbit/s"},
        BadFile{"bare_rate", "\"100 Mbit/s\"", "true", "cluster.toml:23", "100 Mbit/s"},
        BadFile{"far_link", "to = \"south\"", "to = \"sooth\"", "cluster.toml:22", "sooth",
                "south"},
        BadFile{"self_link", "to = \"south\"", "to = \"north\"", "cluster.toml:22", "itself"},
        BadFile{"loss", "\"0.1 %\"", "1.5", "cluster.toml:25", "below 1"},
        BadFile{"same_site", "name = \"south\"", "name = \"north\"", "cluster.toml:13",
                "second site"},
        BadFile{"slash_in_name", "name = \"a\"", "name = \"a/b\"", "cluster.toml:6", "a/b"},
        BadFile{"zero_hosts", "count = 2\n", "count = 0\n", "cluster.toml:17", "outside 1"},
        BadFile{"too_many", "count = 2\ndevices = [{chip = \"h20\", count = 2",
                "count = 65536\ndevices = [{chip = \"h20\", count = 65536", "cluster.toml:1",
                "devices, more than"},
        BadFile{"no_devices", "devices = [{chip = \"h20\", count = 2, memory = \"90 GB\"}]", "",
                "cluster.toml:15", "devices is missing"},
        BadFile{"typo", "uplink", "uplinks", "cluster.toml:3", "uplinks", "uplink"},
        BadFile{"second_link", "[[link]]",
                "[[link]]\nfrom = \"south\"\nto = \"north\"\nbandwidth = \"1 "
                "GB/s\"\nround_trip = \"1 ms\"\n[[link]]",
                "cluster.toml:25", "second link"},
        BadFile{"site_of_dots", "name = \"south\"", "name = \"..\"", "cluster.toml:13", "\"..\""},
        BadFile{"site_of_the_run", "name = \"south\"", "name = \"export\"", "cluster.toml:13",
                "part of every run", "another name"},
        BadFile{"endless_round_trip", "\"100 ms\"", "\"1e300 s\"", "cluster.toml:24", "an hour",
                "20 ms"},
        BadFile{"next_to_no_pace", "pace = 0.7", "pace = 1e-12", "cluster.toml:10", "millionth"},
        BadFile{"pace", "pace = 0.7", "pace = -0.7", "cluster.toml:10", "outside 0"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace skarv
