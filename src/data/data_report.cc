#include <limits>
#include <type_traits>

#include "base/text.h"
#include "data/prepare.h"
#include "data/token_file.h"
#include "data/tokenizer.h"

namespace skarv {
namespace {

constexpr int kManifestVersion = 1;

Json count_to_json(const TokenCount& count) {
  return {{"documents", count.num_documents},
          {"tokens", count.num_tokens},
          {"digest", count.digest.hex()}};
}

// Reads named members; the first fault stays.
class ManifestReader {
 public:
  explicit ManifestReader(const Json& json) : json_(json) {}

  template <typename Number>
  void number(const char* key, Number* value) {
    const auto found = find(key);
    if (found == nullptr) return;
    // Whole numbers only where they are counts: a float out of range must not be converted.
    const bool is_right = std::is_floating_point_v<Number>
                              ? found->is_number()
                              : found->is_number_unsigned() &&
                                    found->get<uint64_t>() <=
                                        static_cast<uint64_t>(std::numeric_limits<Number>::max());
    if (!is_right) {
      status_ = config_error(cat("\"", key, "\" is no number, or out of bounds"));
    } else {
      *value = found->get<Number>();
    }
  }
  void digest(const char* key, Digest* value) {
    const auto found = find(key);
    if (found == nullptr) return;
    const Result<Digest> parsed =
        Digest::parse(found->is_string() ? found->get<std::string>() : std::string());
    if (parsed.ok()) {
      *value = *parsed;
    } else {
      status_ = parsed.status().wrap(key);
    }
  }
  void count(const char* key, TokenCount* value) {
    const auto found = find(key);
    if (found == nullptr) return;
    ManifestReader inner(*found);
    inner.number("documents", &value->num_documents);
    inner.number("tokens", &value->num_tokens);
    inner.digest("digest", &value->digest);
    if (!inner.status_.ok()) status_ = inner.status_.wrap(key);
  }
  const Status& status() const { return status_; }

 private:
  const Json* find(const char* key) {
    if (!status_.ok()) return nullptr;
    const auto found = json_.find(key);
    if (found != json_.end()) return &*found;
    status_ = config_error(cat("there is no \"", key, "\""));
    return nullptr;
  }

  const Json& json_;
  Status status_;
};

}  // namespace

Json DataReport::to_json() const {
  return {{"version", kManifestVersion},        {"settings", settings.hex()},
          {"content", content.hex()},           {"tokenizer", tokenizer.hex()},
          {"vocabulary_size", vocabulary_size}, {"files", num_files},
          {"text_bytes", num_text_bytes},       {"replaced_utf8", num_replaced},
          {"train", count_to_json(train)},      {"validation", count_to_json(validation)},
          {"unigram_nats", unigram_nats}};
}

Result<DataReport> DataReport::from_json(const Json& json) {
  DataReport report;
  int version = 0;
  ManifestReader reader(json);
  reader.number("version", &version);
  if (reader.status().ok() && version != kManifestVersion) {
    return config_error(cat("a manifest of version ", version, ", not ", kManifestVersion));
  }
  reader.digest("settings", &report.settings);
  reader.digest("content", &report.content);
  reader.digest("tokenizer", &report.tokenizer);
  reader.number("vocabulary_size", &report.vocabulary_size);
  reader.number("files", &report.num_files);
  reader.number("text_bytes", &report.num_text_bytes);
  reader.number("replaced_utf8", &report.num_replaced);
  reader.count("train", &report.train);
  reader.count("validation", &report.validation);
  reader.number("unigram_nats", &report.unigram_nats);
  if (!reader.status().ok()) return reader.status();
  return report;
}

Result<DataReport> load_data(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "data.json";
  const auto refuse = [&](const Status& status) {
    return status.at(path.string()).with_hint("make the data again: skarv data");
  };
  SKARV_ASSIGN(const Json json, read_json(path));
  const Result<DataReport> report = DataReport::from_json(json);
  if (!report.ok()) return refuse(report.status());
  SKARV_ASSIGN(const Tokenizer tokenizer, Tokenizer::load(folder / "tokenizer.json"));
  if (tokenizer.digest() != report->tokenizer) {
    return refuse(Status(Code::kDataLoss, Scope::kConfig,
                         "tokenizer.json is not the one that made the tokens"));
  }
  if (tokenizer.vocabulary_size() != report->vocabulary_size) {
    return refuse(
        Status(Code::kDataLoss, Scope::kConfig,
               cat("it says ", report->vocabulary_size,
                   " tokens of vocabulary, tokenizer.json has ", tokenizer.vocabulary_size())));
  }
  for (const auto& [name, count] :
       {std::pair("train", report->train), std::pair("validation", report->validation)}) {
    SKARV_ASSIGN(const TokenFile file, TokenFile::open(folder / name));
    if (file.num_tokens() != count.num_tokens || file.num_documents() != count.num_documents) {
      return refuse(Status(Code::kDataLoss, Scope::kConfig,
                           cat(name, ".bin has ", file.num_tokens(), " tokens, the manifest says ",
                               count.num_tokens)));
    }
  }
  return report;
}

}  // namespace skarv
