#include "train/sample_source.h"

#include <filesystem>
#include <optional>

#include "data/sample_index.h"
#include "data/token_file.h"

namespace skarv::train {
namespace {

class TokenFileSource : public SampleSource {
 public:
  static Result<std::unique_ptr<SampleSource>> open(const std::filesystem::path& prefix,
                                                    uint64_t seed, int64_t context,
                                                    int64_t vocabulary) {
    SKARV_ASSIGN(TokenFile tokens, TokenFile::open(prefix));
    SKARV_TRY(tokens.check_ids(static_cast<int32_t>(vocabulary)));
    auto source = std::unique_ptr<TokenFileSource>(new TokenFileSource(std::move(tokens)));
    SKARV_ASSIGN(SampleIndex index, SampleIndex::create(source->tokens_, seed, context));
    source->index_.emplace(std::move(index));
    return std::unique_ptr<SampleSource>(std::move(source));
  }

  Status read(uint64_t counter, std::span<int32_t> out) const override {
    index_->sample(counter, out);
    return Status();
  }

 private:
  explicit TokenFileSource(TokenFile tokens) : tokens_(std::move(tokens)) {}
  TokenFile tokens_;
  std::optional<SampleIndex> index_;
};

}  // namespace

Result<std::unique_ptr<SampleSource>> open_training_samples(const Run& run) {
  return TokenFileSource::open(std::filesystem::path(run.data.folder) / "train", run.seed,
                               run.model.context, run.model.vocabulary);
}

Result<std::unique_ptr<SampleSource>> open_validation_samples(const std::string& folder,
                                                              int64_t context, int64_t vocabulary) {
  return TokenFileSource::open(std::filesystem::path(folder) / "validation", /*seed=*/0, context,
                               vocabulary);
}

}  // namespace skarv::train
