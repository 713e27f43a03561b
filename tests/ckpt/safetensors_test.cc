#include "ckpt/safetensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "ckpt/half.h"
#include "support/temporary_folder.h"

namespace skarv {
namespace {

void write(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// A file with this header text and data.
std::string file_of(const std::string& header, size_t num_data_bytes) {
  const uint64_t size = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, 8);
  return bytes + header + std::string(num_data_bytes, '\0');
}

class SafetensorsTest : public testing::Test {
 protected:
  TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_ / "a.safetensors";

  // "x": F32 [2, 3] = 0..5, "y": BF16 [4] = 0.5, 1.5, 2.5, 3.5, "z": F16 [0].
  void write_sample() {
    auto writer = SafetensorsWriter::create(path_,
                                            {{"x", DataType::kFloat32, {2, 3}},
                                             {"y", DataType::kBfloat16, {4}},
                                             {"z", DataType::kFloat16, {0}}},
                                            {{"format", "pt"}});
    ASSERT_TRUE(writer.ok()) << writer.status();
    // In pieces that cross the border of the tensors.
    ASSERT_TRUE(writer->append(std::vector<float>{0, 1, 2, 3}).ok());
    ASSERT_TRUE(writer->append(std::vector<float>{4, 5, 0.5f, 1.5f, 2.5f, 3.5f}).ok());
    const auto digest = writer->finish();
    ASSERT_TRUE(digest.ok()) << digest.status();
    ASSERT_EQ(*digest, digest_of(*read_file(path_)));
  }
};

TEST_F(SafetensorsTest, RoundTrip) {
  write_sample();
  const auto reader = SafetensorsReader::open(path_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->metadata().at("format"), "pt");
  EXPECT_EQ(reader->tensors().at("x").shape, (std::vector<int64_t>{2, 3}));
  std::vector<float> part(3);
  ASSERT_TRUE(reader->read("x", 2, part).ok());
  EXPECT_EQ(part, (std::vector<float>{2, 3, 4}));
  ASSERT_TRUE(reader->read("y", 1, part).ok());
  EXPECT_EQ(part, (std::vector<float>{1.5f, 2.5f, 3.5f}));
  EXPECT_EQ(reader->read("y", 2, part).code(), Code::kInvalidArgument);
  EXPECT_EQ(reader->read("y", -1, part).code(), Code::kInvalidArgument);
  EXPECT_TRUE(reader->read("z", 0, {}).ok());
  const Status status = reader->read("xx", 0, part);
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_NE(status.origin().find("a.safetensors"), std::string::npos);
}

TEST_F(SafetensorsTest, MissingFileIsNamed) {
  const Status status = SafetensorsReader::open(folder_ / "none").status();
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_NE(status.origin().find("none"), std::string::npos);
  EXPECT_FALSE(SafetensorsReader::open(folder_.path()).ok()) << "a folder";
}

TEST_F(SafetensorsTest, UnfinishedFileIsRemoved) {
  {
    auto writer = SafetensorsWriter::create(path_, {{"x", DataType::kFloat32, {2}}});
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(writer->append(std::vector<float>{1}).ok());
    EXPECT_EQ(writer->finish().status().code(), Code::kInternal);
    EXPECT_EQ(writer->append(std::vector<float>{1, 2}).code(), Code::kInternal);
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(SafetensorsTest, Corruptions) {
  const std::string x = R"("x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  const std::pair<const char*, std::string> cases[] = {
      {"empty", ""},
      {"seven bytes", "1234567"},
      {"header longer than the file", std::string("\xff\0\0\0\0\0\0\0{}", 10)},
      {"header of 2^63 bytes", std::string("\0\0\0\0\0\0\0\x80{}", 10)},
      {"header of 2^64-1 bytes", std::string(8, '\xff') + "{}"},
      {"no JSON", file_of("{\"x\":", 8)},
      {"no object", file_of("[1]", 8)},
      {"deeply nested", file_of(std::string(5000, '['), 0)},
      {"binary header", file_of(std::string("\0\1\2\3", 4), 8)},
      {"tensor is a number", file_of(R"({"x":1})", 8)},
      {"no type", file_of(R"({"x":{"shape":[2],"data_offsets":[0,8]}})", 8)},
      {"unknown type", file_of(R"({"x":{"dtype":"F8","shape":[2],"data_offsets":[0,8]}})", 8)},
      {"type is a list", file_of(R"({"x":{"dtype":[],"shape":[2],"data_offsets":[0,8]}})", 8)},
      {"negative size", file_of(R"({"x":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8)},
      {"size is text", file_of(R"({"x":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}})", 8)},
      {"fraction", file_of(R"({"x":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}})", 8)},
      {"shape overflows",
       file_of(R"({"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 8)},
      {"size over 2^63",
       file_of(R"({"x":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}})", 8)},
      {"one offset", file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8)},
      {"offsets swapped", file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8)},
      {"negative offset", file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})", 8)},
      {"range too short", file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,7]}})", 8)},
      {"range beyond the data",
       file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 8)},
      {"truncated data", file_of("{" + x + "}", 7)},
      {"overlap",
       file_of("{" + x + R"(,"y":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12)},
      {"same range twice",
       file_of("{" + x + R"(,"y":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8)},
      {"metadata no object", file_of("{\"__metadata__\":1," + x + "}", 8)},
      {"metadata no text", file_of("{\"__metadata__\":{\"a\":1}," + x + "}", 8)},
  };
  write(path_, file_of("{" + x + "}", 8));
  ASSERT_TRUE(SafetensorsReader::open(path_).ok()) << "the table's own base is sound";
  for (const auto& [what, bytes] : cases) {
    write(path_, bytes);
    const Status status = SafetensorsReader::open(path_).status();
    EXPECT_FALSE(status.ok()) << what;
    EXPECT_NE(status.origin().find("a.safetensors"), std::string::npos) << what << ": " << status;
    EXPECT_FALSE(status.hint().empty()) << what;
  }
}

// Any single changed byte: an error or a file that can be read, never a crash.
TEST_F(SafetensorsTest, ChangedBytes) {
  write_sample();
  const std::string whole = *read_file(path_);
  const CounterRandom random(3, "fuzz");
  for (uint64_t trial = 0; trial < 300; ++trial) {
    std::string changed = whole;
    for (uint64_t i = 0; i <= trial % 3; ++i) {
      changed[random.below(trial * 8 + i, whole.size())] =
          static_cast<char>(random.at(trial * 8 + i + 4));
    }
    if (trial % 5 == 0) changed.resize(random.below(trial * 8 + 7, whole.size()));
    write(path_, changed);
    const auto reader = SafetensorsReader::open(path_);
    if (!reader.ok()) continue;
    for (const auto& [name, entry] : reader->tensors()) {
      std::vector<float> values(static_cast<size_t>(entry.num_elements()));
      EXPECT_TRUE(reader->read(name, 0, values).ok());
    }
  }
}

TEST_F(SafetensorsTest, FullDiskNamesTheFile) {
  Status status;
  {
    FullDisk disk(1000);
    auto writer = SafetensorsWriter::create(path_, {{"x", DataType::kFloat32, {1000}}});
    ASSERT_TRUE(writer.ok());
    status = writer->append(std::vector<float>(1000, 1.0f));
  }
  EXPECT_EQ(status.code(), Code::kResourceExhausted) << status;
  EXPECT_NE(status.origin().find("a.safetensors"), std::string::npos);
  EXPECT_FALSE(status.hint().empty());
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST(Half, EveryFloat16SurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = float_from_float16(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(float_from_float16(float16_from_float(value))));
    } else {
      ASSERT_EQ(float16_from_float(value), bits);
    }
    const float wide = float_from_bfloat16(static_cast<uint16_t>(bits));
    if (!std::isnan(wide)) {
      ASSERT_EQ(bfloat16_from_float(wide), bits);
    }
  }
}

TEST(Half, RoundsToNearestEven) {
  EXPECT_EQ(float_from_bfloat16(bfloat16_from_float(1.0f + 0x1p-8f)), 1.0f);
  EXPECT_EQ(float_from_bfloat16(bfloat16_from_float(1.0f + 0x3p-8f)), 1.0f + 0x1p-6f);
  EXPECT_EQ(float_from_float16(float16_from_float(1.0f + 0x1p-11f)), 1.0f);
  EXPECT_EQ(float_from_float16(float16_from_float(1.0f + 0x3p-11f)), 1.0f + 0x1p-9f);
  EXPECT_EQ(float_from_float16(float16_from_float(65519.0f)), 65504.0f);
  EXPECT_TRUE(std::isinf(float_from_float16(float16_from_float(65520.0f))));
  EXPECT_EQ(float_from_float16(float16_from_float(0x1p-25f)), 0.0f);
  EXPECT_EQ(float_from_float16(float16_from_float(0x1.8p-25f)), 0x1p-24f);
  EXPECT_TRUE(std::isnan(
      float_from_bfloat16(bfloat16_from_float(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace skarv
