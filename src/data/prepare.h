// The whole way from a corpus to what training reads. In the output folder afterwards:
//   tokenizer.json                     learned from the training documents, or a copy of a given
//   one train.bin, train.idx               every document followed by the end-of-text token
//   validation.bin, validation.idx     the held-out documents, likewise
//   data.json                          the manifest; it comes last, so where it is, all is
//
// Held out is each document whose digest falls below `validation_fraction` of all digests, and in
// any case the one with the smallest digest. So the choice depends on nothing but the text, and
// equal documents are never on both sides.
//
// Done already for identical settings and files: nothing is done again. Interrupted at any moment:
// the folder holds the old state or no manifest, and the next call begins anew.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/digest.h"
#include "base/json.h"
#include "base/status.h"
#include "data/corpus.h"

namespace skarv {

struct DataOptions {
  CorpusOptions corpus;
  std::filesystem::path output;              // the folder; made when missing
  int32_t vocabulary_size = 8192;            // affects results; small models want 4k to 8k
  std::filesystem::path tokenizer;           // a tokenizer.json to use instead of learning one
  double validation_fraction = 0.02;         // above 0, at most 0.5
  uint64_t max_tokenizer_bytes = 100 << 20;  // of a larger corpus the tokenizer sees a part
  // Told fraction (0 to 1) and what is going on, from the calling thread.
  std::function<void(double, const std::string&)> progress;
};

// One side of the split.
struct TokenCount {
  uint64_t num_documents = 0;
  uint64_t num_tokens = 0;  // end-of-text tokens included
  Digest digest;            // of the .bin file
};

// What data.json says.
struct DataReport {
  bool was_done = false;  // nothing had to be done
  Digest settings;        // of the options and the files' names, sizes and times
  Digest content;         // of the text of all documents: equal on every machine with this corpus
  Digest tokenizer;
  int32_t vocabulary_size = 0;  // may be below the one asked for when the corpus is small
  uint64_t num_files = 0;
  uint64_t num_text_bytes = 0;
  uint64_t num_replaced = 0;  // invalid parts of UTF-8 that became U+FFFD
  uint64_t num_left_out = 0;  // files of the folder that do not look like text; not in data.json
  TokenCount train, validation;
  // Of the validation tokens under the training tokens' frequencies with add-one smoothing, in
  // nats a token: the loss of a model that knows frequencies and nothing else.
  double unigram_nats = 0;

  Json to_json() const;
  static Result<DataReport> from_json(const Json& json);
};

// Errors: those of Corpus::open and CorpusReader::next; kInvalidArgument for options out of bounds
// and a corpus of a single document; kFailedPrecondition while another process prepares the same
// folder; errors of writing, at the file.
Result<DataReport> prepare_data(const DataOptions& options);

// The manifest of a folder, after checking that the files beside it are whole and fit it: the
// tokenizer by its digest, the token files by their indices and numbers (the tokens themselves are
// not read; TokenFile::check_ids does that).
// Errors: kNotFound without a manifest, kInvalidArgument or kDataLoss for one that does not fit.
Result<DataReport> load_data(const std::filesystem::path& folder);

}  // namespace skarv
