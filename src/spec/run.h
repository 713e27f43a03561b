// The run file (TOML, what a person writes): everything that changes the numbers. What only
// changes speed is in the plan.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/digest.h"
#include "base/json.h"
#include "base/status.h"
#include "spec/model.h"

namespace skarv {

enum class Precision { kFp32, kBf16 };           // bf16: fp32 masters with the owner
enum class ExchangeMode { kLocal, kGradient };   // DiLoCo family; exact data parallel (rule 13)
enum class LearningRateShape { kCosine, kWsd };  // after a linear warm-up
enum class CodecKind { kIdentity, kInt4 };
enum class Durability { kDisk, kMemory };

struct DataSettings {
  std::string folder;  // of `skarv data`: tokenizer.json, train.{bin,idx}, validation.{bin,idx}
  int64_t validation_samples = 64;  // fixed samples of the held-out part
};

struct OptimizerSettings {  // AdamW
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double weight_decay = 0.1;
  double clip = 1.0;  // global gradient norm; 0 turns it off
  LearningRateShape shape = LearningRateShape::kCosine;
  int64_t warmup_steps = 0;
  double final_fraction = 0.1;  // of learning_rate, at the end
  double decay_fraction = 0.2;  // WSD: the part of the run that decays
};

// Outer synchronisation between islands (protocol.md).
struct ExchangeSettings {
  ExchangeMode mode = ExchangeMode::kLocal;
  int64_t inner_steps = 30;    // optimizer steps from one snapshot of a fragment to its next
  int num_fragments = 1;       // a round every inner_steps / num_fragments steps
  int64_t overlap_steps = 1;   // tau: steps between snapshot and apply
  double learning_rate = 0.6;  // outer
  double momentum = 0.9;       // Nesterov
  double alpha = 0.0;          // x = alpha x + (1 - alpha) w
  CodecKind upload = CodecKind::kInt4, download = CodecKind::kInt4;
  double residual_decay = 1.0;
  double clip_to_median = 3.0;  // the gate: a contribution's norm over the median; 0 off
  int contributions = 0;        // K wanted; 0 means all
  int min_contributors = 1;     // fewer than this: the run pauses
  int durable_copies = 2;       // D
  Durability durability = Durability::kDisk;
  double detection_seconds = 5;  // silence after which a peer counts as gone
  double round_budget_seconds = 60;
};

// Islands that have to accept before a commit (protocol.md, 2).
int quorum_of(int num_islands, int durable_copies);

struct Run {
  std::string name = "run";
  uint64_t seed = 1;
  Model model;
  DataSettings data;
  int64_t global_batch = 0;  // samples of one optimizer step, over all islands; constant
  int64_t steps = 0;         // optimizer steps of every island
  OptimizerSettings optimizer;
  Precision precision = Precision::kFp32;
  ExchangeSettings exchange;
  int64_t checkpoint_every_rounds = 10;

  int64_t steps_per_round() const;  // inner_steps / num_fragments; 1 in gradient mode
  int64_t tokens_per_step() const { return global_batch * model.context; }
};

// Learning rate of optimizer step `step` (counted from 0), by global tokens: every island computes
// the same.
double learning_rate_at(const Run& run, int64_t step);

// Unknown keys and impossible combinations are errors with file, line and what to change.
// Relative paths are relative to the file.
Result<Run> read_run(const std::filesystem::path& path);
Result<Run> parse_run(const std::string& toml, const std::string& origin);
Status check_run(const Run& run, const std::string& origin);
Json to_json(const Run& run);  // all effective settings; shipped to agents and workers
Result<Run> run_from_json(const Json& json, const std::string& origin);
// Of everything that must be equal on all sites (not of paths).
Digest digest_of(const Run& run);

const char* name_of(Precision precision);
const char* name_of(ExchangeMode mode);
const char* name_of(CodecKind codec);

}  // namespace skarv
