#include "data/corpus.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"
#include "base/text.h"
#include "data/utf8.h"

namespace skarv {

namespace fs = std::filesystem;

namespace {

constexpr size_t kLookBytes = 8 << 10;
constexpr uint64_t kMaxDocumentBytes = 1 << 30;  // a token file counts a document in 31 bits

Result<CorpusFile> describe(const fs::path& path, std::string name) {
  struct stat facts;
  if (::stat(path.c_str(), &facts) != 0) return io_error("cannot read", path.string(), errno);
  return CorpusFile{path, std::move(name), static_cast<uint64_t>(facts.st_size),
                    facts.st_mtim.tv_sec * int64_t{1'000'000'000} + facts.st_mtim.tv_nsec};
}

Result<bool> file_looks_like_text(const fs::path& path) {
  FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return io_error("cannot open", path.string(), errno);
  char beginning[kLookBytes];
  size_t size = 0;
  while (size < sizeof beginning) {
    const ssize_t count = ::read(file.get(), beginning + size, sizeof beginning - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io_error("cannot read", path.string(), errno);
    if (count == 0) break;
    size += static_cast<size_t>(count);
  }
  return looks_like_text({beginning, size});
}

bool has_extension(const fs::path& path, const std::vector<std::string>& extensions) {
  const std::string extension = path.extension().string();
  return std::find(extensions.begin(), extensions.end(), extension) != extensions.end();
}

Result<std::vector<CorpusFile>> list_folder(const CorpusOptions& options, uint64_t& num_left_out) {
  std::vector<CorpusFile> files;
  std::error_code error;
  fs::recursive_directory_iterator place(options.path, error);
  for (const fs::recursive_directory_iterator end; !error && place != end; place.increment(error)) {
    const fs::path& path = place->path();
    std::error_code ignored;  // a dangling link, or a file that vanished: not there
    if (path.filename().string().starts_with('.')) {
      if (place->is_directory(ignored)) place.disable_recursion_pending();
      continue;
    }
    if (!place->is_regular_file(ignored)) continue;
    if (options.extensions.empty()) {
      SKARV_ASSIGN(const bool is_text, file_looks_like_text(path));
      if (!is_text) {
        ++num_left_out;
        continue;
      }
    } else if (!has_extension(path, options.extensions)) {
      continue;
    }
    SKARV_ASSIGN(CorpusFile file,
                 describe(path, path.lexically_relative(options.path).generic_string()));
    if (file.num_bytes > 0) files.push_back(std::move(file));
  }
  if (error) return io_error("cannot list", options.path.string(), error.value());
  std::sort(files.begin(), files.end(),
            [](const CorpusFile& a, const CorpusFile& b) { return a.name < b.name; });
  return files;
}

// Files in the order of the digests of their names, as many as fit into `max_bytes`.
void select(std::vector<CorpusFile>& files, uint64_t max_bytes) {
  std::vector<std::pair<Digest, size_t>> order;
  for (size_t i = 0; i < files.size(); ++i) order.emplace_back(digest_of(files[i].name), i);
  std::sort(order.begin(), order.end());
  std::vector<bool> is_chosen(files.size(), false);
  uint64_t left = max_bytes;
  for (const auto& [digest, i] : order) {
    if (files[i].num_bytes > left) continue;
    left -= files[i].num_bytes;
    is_chosen[i] = true;
  }
  // All are larger than the cap: the reader takes the beginning of one.
  if (left == max_bytes) is_chosen[order.front().second] = true;
  std::vector<CorpusFile> chosen;
  for (size_t i = 0; i < files.size(); ++i) {
    if (is_chosen[i]) chosen.push_back(std::move(files[i]));
  }
  files = std::move(chosen);
}

Status check_options(const CorpusOptions& options) {
  for (const std::string& extension : options.extensions) {
    if (extension.size() < 2 || extension[0] != '.') {
      return config_error(cat("\"", extension, "\" is no extension"))
          .with_hint(cat("write it with its dot: \".", extension, "\""));
    }
  }
  if (options.max_document_bytes < 4 || options.max_document_bytes > kMaxDocumentBytes) {
    return config_error(cat("documents of at most ", options.max_document_bytes, " bytes"))
        .with_hint(cat("choose 4 to ", kMaxDocumentBytes));
  }
  if (options.text_field.empty()) return config_error("the name of the text field is empty");
  return Status();
}

}  // namespace

Result<Corpus> Corpus::open(CorpusOptions options) {
  SKARV_TRY(check_options(options));
  Corpus corpus;
  std::error_code error;
  const fs::file_status status = fs::status(options.path, error);
  if (!fs::exists(status)) {
    return io_error("no corpus there", options.path.string(), error ? error.value() : ENOENT);
  }
  if (fs::is_directory(status)) {
    SKARV_ASSIGN(corpus.files_, list_folder(options, corpus.num_left_out_));
  } else {
    SKARV_ASSIGN(CorpusFile file, describe(options.path, options.path.filename().string()));
    if (file.num_bytes > 0) corpus.files_.push_back(std::move(file));
  }
  if (corpus.files_.empty()) {
    const std::string wanted =
        options.extensions.empty() ? "text" : join(options.extensions, " or ");
    return config_error(fs::is_directory(status)
                            ? cat("the corpus is empty: no file with ", wanted, " in the folder")
                            : "the corpus is empty: the file has no bytes")
        .at(options.path.string())
        .with_hint("check the path and the extensions; hidden files are left out");
  }
  for (const CorpusFile& file : corpus.files_) corpus.num_bytes_ += file.num_bytes;
  if (options.max_bytes > 0 && corpus.num_bytes_ > options.max_bytes) {
    select(corpus.files_, options.max_bytes);
    corpus.num_bytes_ = 0;
    for (const CorpusFile& file : corpus.files_) corpus.num_bytes_ += file.num_bytes;
    corpus.num_bytes_ = std::min(corpus.num_bytes_, options.max_bytes);
  }
  corpus.options_ = std::move(options);
  return corpus;
}

Digest Corpus::digest() const {
  Hasher hasher;
  const auto add = [&](const std::string& text) {
    hasher.add_number(static_cast<uint64_t>(text.size())).add(text);
  };
  add("skarv corpus 1");
  add(options_.text_field);
  hasher.add_number(options_.max_bytes).add_number(options_.max_document_bytes);
  hasher.add_number(static_cast<uint64_t>(files_.size()));
  for (const CorpusFile& file : files_) {
    add(file.name);
    hasher.add_number(file.num_bytes).add_number(file.changed_nanoseconds);
  }
  return hasher.finish();
}

}  // namespace skarv
