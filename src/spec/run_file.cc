#include "base/file.h"
#include "base/text.h"
#include "spec/model_json.h"
#include "spec/run.h"

namespace skarv {
namespace {

template <typename Enum>
using Names = std::vector<std::pair<std::string, Enum>>;

const Names<Precision> kPrecisions = {{"fp32", Precision::kFp32}, {"bf16", Precision::kBf16}};
const Names<ExchangeMode> kModes = {{"local", ExchangeMode::kLocal},
                                    {"gradient", ExchangeMode::kGradient}};
const Names<LearningRateShape> kShapes = {{"cosine", LearningRateShape::kCosine},
                                          {"wsd", LearningRateShape::kWsd}};
const Names<CodecKind> kCodecs = {{"identity", CodecKind::kIdentity}, {"int4", CodecKind::kInt4}};
const Names<Durability> kDurabilities = {{"disk", Durability::kDisk},
                                         {"memory", Durability::kMemory}};
constexpr int64_t kMany = 1'000'000'000'000;

void read_head(Fields fields, Run& run) {
  fields.text("name", run.name);
  fields.word("seed", run.seed);
  fields.integer("steps", run.steps, 1, kMany);
  fields.integer("global_batch", run.global_batch, 1);
  fields.choice("precision", run.precision, kPrecisions);
  fields.integer("checkpoint_every_rounds", run.checkpoint_every_rounds, 0);
  fields.require({"steps", "global_batch"});
  fields.finish();
}

// Either every size or `from`, a config.json of transformers, with another context.
void read_model(Fields fields, const std::filesystem::path& folder, Model& model) {
  std::string from;
  fields.text("from", from);
  if (!from.empty()) {
    fields.integer("context", model.context, 1);
    const int64_t context = model.context;
    fields.finish();
    const Result<Model> read = model_from_hugging_face(folder / from);
    if (!read.ok()) {
      fields.document().fail(read.status().wrap(
          cat("model.from at ", fields.document().place(fields.path_of("from")))));
      return;
    }
    model = *read;
    if (context > 0) model.context = context;
    return;
  }
  read_model_fields(fields, model);
  fields.require({"hidden", "blocks", "heads", "ffn", "context"});
  if (!fields.has("kv_heads")) model.num_kv_heads = model.num_heads;
  if (!fields.has("head_dim") && model.num_heads > 0) {
    model.head_dim = model.hidden / model.num_heads;
    if (model.hidden % model.num_heads != 0) {
      fields.fail("heads",
                  cat("heads = ", model.num_heads, " does not divide hidden = ", model.hidden),
                  "change one of them, or set head_dim");
    }
  }
  fields.finish();
}

void read_data(Fields fields, const std::filesystem::path& folder, DataSettings& data) {
  fields.text("folder", data.folder);
  fields.integer("validation_samples", data.validation_samples, 0);
  fields.finish();
  if (!data.folder.empty()) data.folder = (folder / data.folder).lexically_normal().string();
}

void read_optimizer(Fields fields, OptimizerSettings& optimizer) {
  constexpr double kAny = 1e300;  // ranges are the business of check_run
  fields.number("learning_rate", optimizer.learning_rate, -kAny, kAny);
  fields.number("beta1", optimizer.beta1, -kAny, kAny);
  fields.number("beta2", optimizer.beta2, -kAny, kAny);
  fields.number("epsilon", optimizer.epsilon, -kAny, kAny);
  fields.number("weight_decay", optimizer.weight_decay, -kAny, kAny);
  fields.number("clip", optimizer.clip, -kAny, kAny);
  fields.choice("shape", optimizer.shape, kShapes);
  fields.integer("warmup_steps", optimizer.warmup_steps, 0, kMany);
  fields.number("final_fraction", optimizer.final_fraction, -kAny, kAny);
  fields.number("decay_fraction", optimizer.decay_fraction, -kAny, kAny);
  fields.finish();
}

void read_exchange(Fields fields, ExchangeSettings& exchange) {
  constexpr double kAny = 1e300;
  fields.choice("mode", exchange.mode, kModes);
  if (exchange.mode == ExchangeMode::kGradient) {  // the only legal settings, so nobody writes them
    exchange.inner_steps = 1;
    exchange.overlap_steps = 0;
    exchange.upload = exchange.download = CodecKind::kIdentity;
  }
  fields.integer("inner_steps", exchange.inner_steps, 1, kMany);
  fields.integer("fragments", exchange.num_fragments, 1, 1 << 20);
  fields.integer("overlap_steps", exchange.overlap_steps, 0, kMany);
  fields.number("learning_rate", exchange.learning_rate, -kAny, kAny);
  fields.number("momentum", exchange.momentum, -kAny, kAny);
  fields.number("alpha", exchange.alpha, -kAny, kAny);
  fields.choice("upload", exchange.upload, kCodecs);
  fields.choice("download", exchange.download, kCodecs);
  fields.number("residual_decay", exchange.residual_decay, -kAny, kAny);
  fields.number("clip_to_median", exchange.clip_to_median, -kAny, kAny);
  fields.integer("contributions", exchange.contributions, 0, 1 << 20);
  fields.integer("min_contributors", exchange.min_contributors, 1, 1 << 20);
  fields.integer("durable_copies", exchange.durable_copies, 1, 1 << 20);
  fields.choice("durability", exchange.durability, kDurabilities);
  fields.quantity("detection", exchange.detection_seconds, Quantity::kSeconds);
  fields.quantity("round_budget", exchange.round_budget_seconds, Quantity::kSeconds);
  fields.finish();
}

// `folder`: what relative paths are relative to.
Result<Run> read_document(Document document, const std::filesystem::path& folder) {
  Fields fields = Fields::of(document);
  Run run;
  if (auto head = fields.object("run")) read_head(*head, run);
  if (auto model = fields.object("model")) read_model(*model, folder, run.model);
  if (auto data = fields.object("data")) read_data(*data, folder, run.data);
  if (auto optimizer = fields.object("optimizer")) read_optimizer(*optimizer, run.optimizer);
  if (auto exchange = fields.object("exchange")) read_exchange(*exchange, run.exchange);
  fields.require({"run", "model"});
  fields.finish();
  if (document.ok()) {
    if (const MaybeProblem problem = problem_of(run)) document.fail(*problem);
  }
  if (!document.ok()) return document.status();
  return run;
}

template <typename Enum>
const std::string& name_in(const Names<Enum>& names, Enum value) {
  for (const auto& [name, known] : names) {
    if (known == value) return name;
  }
  return names.front().first;
}

}  // namespace

Result<Run> parse_run(const std::string& toml, const std::string& origin) {
  SKARV_ASSIGN(Document document, Document::from_toml(toml, origin));
  return read_document(std::move(document), std::filesystem::path(origin).parent_path());
}

Result<Run> read_run(const std::filesystem::path& path) {
  SKARV_ASSIGN(const std::string text, read_file(path));
  return parse_run(text, path.string());
}

Result<Run> run_from_json(const Json& json, const std::string& origin) {
  return read_document(Document::from_json(json, origin), {});  // paths are resolved already
}

Json to_json(const Run& run) {
  const OptimizerSettings& optimizer = run.optimizer;
  const ExchangeSettings& exchange = run.exchange;
  return {
      {"run",
       {{"name", run.name},
        {"seed", run.seed},
        {"steps", run.steps},
        {"global_batch", run.global_batch},
        {"precision", name_in(kPrecisions, run.precision)},
        {"checkpoint_every_rounds", run.checkpoint_every_rounds}}},
      {"model", to_json(run.model)},
      {"data", {{"folder", run.data.folder}, {"validation_samples", run.data.validation_samples}}},
      {"optimizer",
       {{"learning_rate", optimizer.learning_rate},
        {"beta1", optimizer.beta1},
        {"beta2", optimizer.beta2},
        {"epsilon", optimizer.epsilon},
        {"weight_decay", optimizer.weight_decay},
        {"clip", optimizer.clip},
        {"shape", name_in(kShapes, optimizer.shape)},
        {"warmup_steps", optimizer.warmup_steps},
        {"final_fraction", optimizer.final_fraction},
        {"decay_fraction", optimizer.decay_fraction}}},
      {"exchange",
       {{"mode", name_in(kModes, exchange.mode)},
        {"inner_steps", exchange.inner_steps},
        {"fragments", exchange.num_fragments},
        {"overlap_steps", exchange.overlap_steps},
        {"learning_rate", exchange.learning_rate},
        {"momentum", exchange.momentum},
        {"alpha", exchange.alpha},
        {"upload", name_in(kCodecs, exchange.upload)},
        {"download", name_in(kCodecs, exchange.download)},
        {"residual_decay", exchange.residual_decay},
        {"clip_to_median", exchange.clip_to_median},
        {"contributions", exchange.contributions},
        {"min_contributors", exchange.min_contributors},
        {"durable_copies", exchange.durable_copies},
        {"durability", name_in(kDurabilities, exchange.durability)},
        {"detection", exchange.detection_seconds},
        {"round_budget", exchange.round_budget_seconds}}}};
}

}  // namespace skarv
