// Text from files, document by document, in an order that depends on nothing but the files.
//
//   a text file    cut at line ends into documents of at most max_document_bytes
//   a .jsonl file  one document a line, from the field `text_field`; blank lines are skipped
//   a folder       all its files, recursively, sorted by relative path: those with one of
//                  `extensions`, or without these all that look like text (no NUL byte and valid
//                  UTF-8 in the first 8 kB). Hidden files and folders below it are left out, links
//                  to folders are not followed.
//
// Invalid UTF-8: each maximal invalid part becomes U+FFFD, and is counted. Empty documents are
// skipped. Memory: one document (a line of JSONL may have 64 MB) and the list of files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/status.h"

namespace skarv {

struct CorpusOptions {
  std::filesystem::path path;
  std::vector<std::string> extensions;  // {".py"} are Python's sources; with their dot
  std::string text_field = "text";
  // Cap on the bytes of the files, 0 for none. Of a folder a part is chosen by the digests of the
  // relative paths, so it is spread over the whole; of a file the beginning is taken.
  uint64_t max_bytes = 0;
  uint64_t max_document_bytes = 64 << 10;  // 4 to 2^30
};

struct CorpusFile {
  std::filesystem::path path;
  std::string name;  // relative to the folder, or the file's name
  uint64_t num_bytes;
  int64_t changed_nanoseconds;
};

struct CorpusDocument {
  std::string text;  // valid UTF-8, not empty
  std::string name;  // of its file
  uint64_t line;     // where it begins, from 1
};

// Reads once through the files. Not thread-safe; moves, does not copy.
class CorpusReader {
 public:
  CorpusReader(CorpusOptions options, std::vector<CorpusFile> files);
  ~CorpusReader();
  CorpusReader(CorpusReader&&) noexcept;

  // False at the end. Errors: kInvalidArgument at "file:line" for a line that is no JSON object
  // with the text field, or too long; errors of reading, at the file. After an error: stop.
  Result<bool> next(CorpusDocument* document);

  uint64_t num_bytes_read() const { return num_bytes_read_; }
  uint64_t num_replaced() const { return num_replaced_; }  // invalid parts of UTF-8

 private:
  class FileCursor;
  Result<bool> next_of_file(CorpusDocument* document);

  CorpusOptions options_;
  std::vector<CorpusFile> files_;
  size_t next_file_ = 0;
  std::unique_ptr<FileCursor> cursor_;
  uint64_t num_bytes_read_ = 0;
  uint64_t num_replaced_ = 0;
};

// Immutable.
class Corpus {
 public:
  // Errors: kNotFound for a missing path; kInvalidArgument for an extension without a dot, bounds
  // of zero, and an empty corpus (no file matches, or all are empty).
  static Result<Corpus> open(CorpusOptions options);

  CorpusReader read() const { return CorpusReader(options_, files_); }
  const std::vector<CorpusFile>& files() const { return files_; }
  uint64_t num_bytes() const { return num_bytes_; }  // that the reader will go through
  // Files of the folder that do not look like text; 0 where extensions choose.
  uint64_t num_left_out() const { return num_left_out_; }
  // Of the options and of the files' names, sizes and times of change: equal digests, equal text.
  Digest digest() const;

 private:
  CorpusOptions options_;
  std::vector<CorpusFile> files_;
  uint64_t num_bytes_ = 0;
  uint64_t num_left_out_ = 0;
};

}  // namespace skarv
