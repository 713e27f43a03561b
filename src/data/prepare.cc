#include "data/prepare.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <memory>
#include <utility>

#include "base/file.h"
#include "base/text.h"
#include "data/encoder.h"
#include "data/token_file.h"
#include "data/token_writer.h"
#include "data/tokenizer.h"
#include "data/trainer.h"

namespace skarv {

namespace fs = std::filesystem;

namespace {

// Shares of the work in the bar that a person watches.
constexpr double kCountShare = 0.3, kLearnShare = 0.3;

Status check_options(const DataOptions& options) {
  if (options.output.empty()) return config_error("no output folder is named");
  if (!(options.validation_fraction > 0 && options.validation_fraction <= 0.5)) {
    return config_error(cat("a validation fraction of ", options.validation_fraction))
        .with_hint("choose one above 0, at most 0.5, for instance 0.02");
  }
  if (options.tokenizer.empty() && (options.vocabulary_size < kMinVocabularySize ||
                                    options.vocabulary_size > kMaxVocabularySize)) {
    return config_error(cat("a vocabulary of ", options.vocabulary_size, " tokens"))
        .with_hint(cat("choose ", kMinVocabularySize, " to ", kMaxVocabularySize));
  }
  return Status();
}

// An exclusive lock on the folder, held until the handle closes or the process ends.
Result<FileHandle> lock_folder(const fs::path& folder) {
  const std::string path = (folder / ".lock").string();
  FileHandle file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!file) return io_error("cannot create", path, errno);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return file;
  if (errno != EWOULDBLOCK) return io_error("cannot lock", path, errno);
  return Status(Code::kFailedPrecondition, Scope::kConfig,
                "another process prepares data in this folder")
      .at(folder.string())
      .with_hint("wait for it, or choose another output folder");
}

// The first eight bytes of a document's digest, as a number.
uint64_t hash_of(const Digest& digest) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | digest.bytes[i];
  return value;
}

uint64_t fraction_to_hash(double fraction) {
  return fraction >= 1 ? ~uint64_t{0} : static_cast<uint64_t>(std::ldexp(fraction, 64));
}

class Preparation {
 public:
  Preparation(const DataOptions& options, const Corpus& corpus)
      : options_(options),
        corpus_(corpus),
        held_out_below_(fraction_to_hash(options.validation_fraction)) {}

  Result<DataReport> run(const Digest& settings) {
    report_.settings = settings;
    report_.num_files = corpus_.files().size();
    SKARV_TRY(read_once());
    SKARV_ASSIGN(const Tokenizer tokenizer, make_tokenizer());
    report_.tokenizer = tokenizer.digest();
    report_.vocabulary_size = tokenizer.vocabulary_size();
    SKARV_TRY(write_tokens(tokenizer));
    SKARV_TRY(measure_unigrams());
    SKARV_TRY(write_file_atomic(options_.output / "data.json", report_.to_json().dump(2) + "\n"));
    tell(1, "done");
    return report_;
  }

 private:
  void tell(double fraction, const std::string& what) const {
    if (options_.progress) options_.progress(fraction, what);
  }

  double read_fraction(const CorpusReader& reader) const {
    return static_cast<double>(reader.num_bytes_read()) /
           static_cast<double>(std::max<uint64_t>(1, corpus_.num_bytes()));
  }

  bool is_held_out(uint64_t hash) const { return hash < held_out_below_ || hash == smallest_hash_; }

  // First pass: digests, the smallest hash, and the words from which the tokenizer is learned.
  Status read_once() {
    const double share = static_cast<double>(options_.max_tokenizer_bytes) /
                         static_cast<double>(std::max<uint64_t>(1, corpus_.num_bytes()));
    // The high half of a hash decides on holding out, the bits of another word on learning.
    const uint64_t learned_below = fraction_to_hash(share);
    CorpusReader reader = corpus_.read();
    Hasher content;
    CorpusDocument document;
    uint64_t num_documents = 0;
    while (true) {
      SKARV_ASSIGN(const bool found, reader.next(&document));
      if (!found) break;
      const Digest digest = digest_of(document.text);
      content.add(std::as_bytes(std::span(digest.bytes)));
      const uint64_t hash = hash_of(digest);
      smallest_hash_ = std::min(smallest_hash_, hash);
      report_.num_text_bytes += document.text.size();
      if (options_.tokenizer.empty() && hash >= held_out_below_ &&
          hash * 0x9E3779B97F4A7C15 <= learned_below) {
        words_.add(document.text);
      }
      if (num_documents++ % 64 == 0)
        tell(kCountShare * read_fraction(reader), "reading the corpus");
    }
    report_.content = content.finish();
    report_.num_replaced = reader.num_replaced();
    if (num_documents >= 2) return Status();
    return config_error(num_documents == 0 ? "the corpus is empty: its files have no documents"
                                           : "the corpus has one document, so none can be held out")
        .at(options_.corpus.path.string())
        .with_hint("use more text: lines make documents of 64 kB, JSONL one a line");
  }

  Result<Tokenizer> make_tokenizer() {
    Result<Tokenizer> made = options_.tokenizer.empty()
                                 ? train_tokenizer(words_, options_.vocabulary_size,
                                                   [this](double fraction) {
                                                     tell(kCountShare + kLearnShare * fraction,
                                                          "learning the tokenizer");
                                                   })
                                 : Tokenizer::load(options_.tokenizer);
    words_ = WordCounter();
    if (!made.ok()) return made.status();
    return made;
  }

  Status write_tokens(const Tokenizer& tokenizer) {
    const int32_t size = tokenizer.vocabulary_size();
    SKARV_ASSIGN(auto train, TokenWriter::create(options_.output / "train", size));
    SKARV_ASSIGN(auto validation, TokenWriter::create(options_.output / "validation", size));
    CorpusReader reader = corpus_.read();
    Encoder encoder(tokenizer);
    CorpusDocument document;
    std::vector<int32_t> ids;
    Hasher content;
    for (uint64_t i = 0;; ++i) {
      SKARV_ASSIGN(const bool found, reader.next(&document));
      if (!found) break;
      const Digest digest = digest_of(document.text);
      content.add(std::as_bytes(std::span(digest.bytes)));
      ids.clear();
      encoder.encode(document.text, ids);
      ids.push_back(tokenizer.end_of_text());
      SKARV_TRY((is_held_out(hash_of(digest)) ? *validation : *train).add(ids));
      if (i % 64 == 0) {
        const double before = kCountShare + kLearnShare;
        tell(before + (1 - before) * read_fraction(reader), "writing tokens");
      }
    }
    if (content.finish() != report_.content) {
      return Status(Code::kFailedPrecondition, Scope::kConfig,
                    "the corpus changed while it was read")
          .at(options_.corpus.path.string())
          .with_hint("run it again when nobody writes there");
    }
    if (train->num_documents() == 0) {
      return config_error(
                 "all documents of the corpus are equal or held out: none is left to train on")
          .at(options_.corpus.path.string())
          .with_hint("use more text, or a smaller validation fraction");
    }
    // What fails for want of text or space has been tried by now, beside what lay here before. A
    // manifest without its tokenizer is refused by who reads it, so it goes second.
    SKARV_TRY(tokenizer.save(options_.output / "tokenizer.json"));
    // From here on the folder is in between states: no manifest until the end.
    const fs::path manifest = options_.output / "data.json";
    std::error_code error;
    fs::remove(manifest, error);
    if (error) return io_error("cannot remove", manifest.string(), error.value());
    SKARV_TRY(finish(*train, &report_.train));
    return finish(*validation, &report_.validation);
  }

  static Status finish(TokenWriter& writer, TokenCount* count) {
    count->num_documents = writer.num_documents();
    count->num_tokens = writer.num_tokens();
    SKARV_ASSIGN(count->digest, writer.finish());
    return Status();
  }

  Status measure_unigrams() {
    std::array<std::vector<uint64_t>, 2> counts;
    for (int i = 0; i < 2; ++i) {
      SKARV_ASSIGN(const TokenFile file,
                   TokenFile::open(options_.output / (i == 0 ? "train" : "validation")));
      SKARV_TRY(file.check_ids(report_.vocabulary_size));
      counts[i] = file.count_ids(report_.vocabulary_size);
    }
    const double total = static_cast<double>(report_.train.num_tokens) + report_.vocabulary_size;
    double nats = 0;
    for (size_t id = 0; id < counts[0].size(); ++id) {
      nats -= static_cast<double>(counts[1][id]) *
              std::log((static_cast<double>(counts[0][id]) + 1) / total);
    }
    report_.unigram_nats = nats / static_cast<double>(report_.validation.num_tokens);
    return Status();
  }

  const DataOptions& options_;
  const Corpus& corpus_;
  const uint64_t held_out_below_;
  uint64_t smallest_hash_ = ~uint64_t{0};
  WordCounter words_;
  DataReport report_;
};

Result<Digest> settings_digest(const DataOptions& options, const Corpus& corpus) {
  Hasher hasher;
  hasher.add("skarv data 1").add(corpus.digest().hex());
  hasher.add_number(options.validation_fraction);
  if (options.tokenizer.empty()) {
    hasher.add_number(options.vocabulary_size).add_number(options.max_tokenizer_bytes);
  } else {
    SKARV_ASSIGN(const Tokenizer tokenizer, Tokenizer::load(options.tokenizer));
    hasher.add(tokenizer.digest().hex());
  }
  return hasher.finish();
}

}  // namespace

Result<DataReport> prepare_data(const DataOptions& options) {
  SKARV_TRY(check_options(options));
  SKARV_ASSIGN(const Corpus corpus, Corpus::open(options.corpus));
  SKARV_ASSIGN(const Digest settings, settings_digest(options, corpus));
  std::error_code error;
  const bool is_new = !fs::exists(options.output, error);
  SKARV_TRY(make_directories(options.output));
  SKARV_ASSIGN(const FileHandle lock, lock_folder(options.output));
  if (Result<DataReport> done = load_data(options.output);
      done.ok() && done->settings == settings) {
    done->was_done = true;
    done->num_left_out = corpus.num_left_out();
    return done;
  }
  Result<DataReport> made = Preparation(options, corpus).run(settings);
  if (made.ok()) made->num_left_out = corpus.num_left_out();
  if (!made.ok() && is_new) fs::remove_all(options.output, error);
  return made;
}

}  // namespace skarv
