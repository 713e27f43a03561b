#include "ckpt/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "base/file.h"
#include "ckpt/checkpoint_reader.h"
#include "support/temporary_folder.h"

namespace skarv {
namespace {

namespace fs = std::filesystem;

// Element i of a tensor in a section, by name, so that mistakes in addressing show.
float value_of(const std::string& section, const std::string& name, int64_t index) {
  return static_cast<float>(section.size() * 1000000 + name.size() * 10000) +
         static_cast<float>(index);
}

class CheckpointTest : public testing::Test {
 protected:
  TemporaryFolder folder_;
  const fs::path root_ = folder_ / "checkpoints";

  static Result<Json> write_shard(const fs::path& partial, const std::string& writer,
                                  const std::vector<Piece>& pieces) {
    SKARV_ASSIGN(ShardWriter shard, ShardWriter::create(partial, writer, pieces));
    for (const Piece& piece : pieces) {
      std::vector<float> values;
      for (int64_t i = piece.begin; i < piece.end; ++i) {
        values.push_back(value_of(piece.section, piece.name, i));
      }
      SKARV_TRY(shard.append(values));
    }
    return shard.finish();
  }
  // Three writers, cuts in the middle of rows.
  static std::vector<std::vector<Piece>> layout() {
    return {
        {{kWeights, "model.a.weight", {10, 10}, 0, 33},
         {"outer.w", "model.a.weight", {10, 10}, 0, 100}},
        {{kWeights, "model.a.weight", {10, 10}, 33, 70}, {kWeights, "model.b.weight", {7}, 0, 7}},
        {{kWeights, "model.a.weight", {10, 10}, 70, 100}}};
  }
  Result<fs::path> save(const std::string& name, int keep_last = 0,
                        const Json& extra = {{"step", 7}}) {
    SKARV_ASSIGN(const fs::path partial, begin_checkpoint(root_, name));
    std::vector<Json> shards;
    for (const auto& pieces : layout()) {
      SKARV_ASSIGN(Json shard, write_shard(partial, std::to_string(shards.size()), pieces));
      shards.push_back(std::move(shard));
    }
    return commit_checkpoint(root_, name, shards, extra, keep_last);
  }
  size_t num_entries() const {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : fs::directory_iterator(root_)) ++count;
    return count;
  }
};

TEST_F(CheckpointTest, IsReadByAnyRange) {
  const auto folder = save("step-7");
  ASSERT_TRUE(folder.ok()) << folder.status();
  const auto reader = CheckpointReader::open(*folder);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->extra()["step"], 7);
  EXPECT_EQ(reader->sections(), (std::vector<std::string>{"outer.w", "weights"}));
  EXPECT_EQ(reader->shape("weights", "model.a.weight"), (std::vector<int64_t>{10, 10}));
  for (int64_t begin = 0; begin < 100; begin += 3) {
    for (int64_t size : {0, 1, 40, 100}) {
      std::vector<float> out(static_cast<size_t>(std::min<int64_t>(size, 100 - begin)));
      ASSERT_TRUE(reader->read("model.a.weight", begin, out).ok());
      for (size_t i = 0; i < out.size(); ++i) {
        ASSERT_EQ(out[i], value_of(kWeights, "model.a.weight", begin + static_cast<int64_t>(i)));
      }
    }
  }
  std::vector<float> all(100);
  ASSERT_TRUE(reader->read("outer.w", "model.a.weight", 0, all).ok());
  EXPECT_EQ(all[42], value_of("outer.w", "model.a.weight", 42));
  EXPECT_TRUE(reader->verify().ok());

  Status status = reader->read("model.c.weight", 0, all);
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_NE(status.hint().find("model."), std::string::npos) << status;
  status = reader->read("exp_avg", "model.a.weight", 0, all);
  EXPECT_NE(status.hint().find("outer.w"), std::string::npos) << status;
  EXPECT_EQ(reader->read("model.a.weight", 1, all).code(), Code::kInvalidArgument);
}

TEST_F(CheckpointTest, ExistsOnlyWhenCommitted) {
  EXPECT_EQ(latest_checkpoint(root_).status().code(), Code::kNotFound);
  const auto partial = begin_checkpoint(root_, "step-1");
  ASSERT_TRUE(partial.ok());
  ASSERT_TRUE(write_shard(*partial, "0", layout()[0]).ok());
  Status status = latest_checkpoint(root_).status();
  EXPECT_NE(status.message().find("never finished"), std::string::npos) << status;
  EXPECT_EQ(CheckpointReader::open(*partial).status().code(), Code::kNotFound);
  // A folder that lost its commit record (a removal that was cut short) does not count either.
  fs::create_directories(root_ / "step-0");
  EXPECT_FALSE(latest_checkpoint(root_).ok());
  const auto folder = save("step-1");
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ(*latest_checkpoint(root_), *folder);
  EXPECT_EQ(save("step-1").status().code(), Code::kAlreadyExists);
}

TEST_F(CheckpointTest, KeepsTheLastByNumberNotByName) {
  ASSERT_TRUE(save("step-9", 2).ok());
  ASSERT_TRUE(save("step-10", 2).ok());
  ASSERT_TRUE(save("step-11", 2).ok());
  const auto folders = list_checkpoints(root_);
  ASSERT_EQ(folders->size(), 2u);
  EXPECT_EQ((*folders)[0], root_ / "step-10");
  EXPECT_EQ(*latest_checkpoint(root_), root_ / "step-11");
  EXPECT_EQ(num_entries(), 2u);
}

TEST_F(CheckpointTest, CommitChecksCoverage) {
  const auto partial = begin_checkpoint(root_, "step-1");
  std::vector<Json> shards;
  for (const auto& pieces : layout()) {
    shards.push_back(*write_shard(*partial, std::to_string(shards.size()), pieces));
  }
  const auto commit = [&](const std::vector<Json>& list) {
    return commit_checkpoint(root_, "step-1", list, Json::object(), 0).status();
  };
  Status status = commit({shards[0], shards[1]});
  EXPECT_NE(status.message().find("lacks elements 70 to 100"), std::string::npos) << status;
  EXPECT_NE(status.message().find("model.a.weight"), std::string::npos) << status;
  status = commit({shards[0], shards[2]});
  EXPECT_NE(status.message().find("lacks elements 33 to 70"), std::string::npos) << status;
  EXPECT_FALSE(commit({shards[0], shards[1], shards[2], shards[2]}).ok());
  const Json twice = *write_shard(*partial, "3", {{kWeights, "model.b.weight", {7}, 0, 7}});
  status = commit({shards[0], shards[1], shards[2], twice});
  EXPECT_NE(status.message().find("twice"), std::string::npos) << status;
  const Json other = *write_shard(
      *partial, "4",
      {{"outer.m", "model.b.weight", {8}, 0, 4}, {"outer.m", "model.b.weight", {4, 2}, 4, 8}});
  status = commit({shards[0], shards[1], shards[2], other});
  EXPECT_NE(status.message().find("two shapes"), std::string::npos) << status;
  EXPECT_FALSE(latest_checkpoint(root_).ok());
  EXPECT_TRUE(commit(shards).ok());
}

TEST_F(CheckpointTest, DamageIsNamed) {
  ASSERT_TRUE(save("step-1").ok());
  const fs::path folder = root_ / "step-1", shard = folder / "shard-1.safetensors";
  const auto write = [](const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  };
  const auto expect_fault = [&](const fs::path& path, const std::string& text,
                                const std::string& cause) {
    const std::string before = *read_file(path);
    write(path, text);
    const Status status = CheckpointReader::open(folder).status();
    EXPECT_FALSE(status.ok()) << cause;
    EXPECT_NE(status.to_string().find(path.filename()), std::string::npos) << status;
    EXPECT_NE(status.message().find(cause), std::string::npos) << status;
    EXPECT_FALSE(status.hint().empty());
    write(path, before);
  };
  const std::string bytes = *read_file(shard);
  expect_fault(shard, bytes.substr(0, bytes.size() - 1), "bytes instead of");
  expect_fault(folder / "manifest.json", *read_file(folder / "manifest.json") + " ", "committed");
  expect_fault(folder / "manifest.json", "{}", "committed");
  // Same size, other bytes: found by verify.
  std::string changed = bytes;
  changed.back() ^= 1;
  write(shard, changed);
  const auto reader = CheckpointReader::open(folder);
  ASSERT_TRUE(reader.ok());
  const Status status = reader->verify();
  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_NE(status.origin().find("shard-1"), std::string::npos) << status;
  fs::remove(shard);
  EXPECT_EQ(CheckpointReader::open(folder).status().code(), Code::kNotFound);
}

TEST_F(CheckpointTest, FullDiskKeepsTheOldOne) {
  ASSERT_TRUE(save("step-1", 1).ok());
  for (const rlim_t room : {0, 10, 400, 700, 1500}) {
    Status status;
    {
      FullDisk disk(room);
      status = save("step-2", 1, {{"text", std::string(5000, 'x')}}).status();
    }
    EXPECT_EQ(status.code(), Code::kResourceExhausted) << room << ": " << status;
    EXPECT_NE(status.origin().find("step-2"), std::string::npos) << status;
    EXPECT_FALSE(status.hint().empty());
    EXPECT_EQ(*latest_checkpoint(root_), root_ / "step-1");
    const auto reader = CheckpointReader::open(root_ / "step-1");
    ASSERT_TRUE(reader.ok());
    EXPECT_TRUE(reader->verify().ok());
  }
  ASSERT_TRUE(save("step-2", 1).ok()) << "once there is room";
  EXPECT_EQ(*latest_checkpoint(root_), root_ / "step-2");
  EXPECT_EQ(num_entries(), 1u);
}

TEST_F(CheckpointTest, WrongModelIsNamedWithBothShapes) {
  ASSERT_TRUE(save("step-1").ok());
  const auto reader = CheckpointReader::open(root_ / "step-1");
  Model model;
  model.vocabulary = 64;
  model.hidden = 16;
  model.num_blocks = 1;
  model.num_heads = model.num_kv_heads = 2;
  model.head_dim = 8;
  model.ffn = 32;
  model.context = 16;
  const Status status = reader->check_model(kWeights, model);
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_NE(status.message().find(tensors_of(model)[0].name), std::string::npos) << status;
}

}  // namespace
}  // namespace skarv
