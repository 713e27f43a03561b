#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "data/corpus.h"
#include "data/utf8.h"

namespace skarv {
namespace {

constexpr size_t kReadBytes = 256 << 10;
constexpr uint64_t kMaxLineBytes = 64 << 20;

Status bad_line(const std::string& what, const CorpusFile& file, uint64_t line) {
  return config_error(what)
      .at(cat(file.path.string(), ":", line))
      .with_hint("correct this line or take it out: each is one JSON object with a text field");
}

Result<std::string> text_of_line(const std::string& line, const std::string& field,
                                 const CorpusFile& file, uint64_t number) {
  const Result<Json> parsed = parse_json(line, "");
  if (!parsed.ok()) return bad_line(parsed.status().message(), file, number);
  if (!parsed->is_object()) return bad_line("the line is no JSON object", file, number);
  const auto found = parsed->find(field);
  if (found == parsed->end()) {
    std::vector<std::string> keys;
    for (const auto& [key, value] : parsed->items()) keys.push_back(key);
    return bad_line(cat("there is no field \"", field, "\""), file, number)
        .with_hint("the fields are: " + join(keys, ", "));
  }
  if (!found->is_string()) {
    return bad_line(cat("the field \"", field, "\" is no text"), file, number);
  }
  return found->get<std::string>();
}

// In any case of letters: braces and quotes of "A.JSONL" are no text to learn.
bool has_jsonl_name(const CorpusFile& file) {
  std::string extension = file.path.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".jsonl";
}

}  // namespace

// One open file and what was read of it but not yet handed out.
class CorpusReader::FileCursor {
 public:
  static Result<std::unique_ptr<FileCursor>> open(const CorpusFile& file) {
    FileHandle handle(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!handle) return io_error("cannot open", file.path.string(), errno);
    return std::make_unique<FileCursor>(file, std::move(handle));
  }
  FileCursor(CorpusFile file, FileHandle handle)
      : file_(std::move(file)), handle_(std::move(handle)), is_jsonl_(has_jsonl_name(file_)) {}

  const CorpusFile& file() const { return file_; }
  bool is_jsonl() const { return is_jsonl_; }
  uint64_t line() const { return line_; }

  // The next piece of at most `max_bytes`, cut after its last line end, or between characters when
  // it has none. Empty at the end of the file.
  Result<std::string_view> next_piece(size_t max_bytes) {
    SKARV_TRY(fill(max_bytes + 1));
    std::string_view rest = unread();
    if (rest.size() <= max_bytes) return consume(rest.size());
    rest = rest.substr(0, max_bytes);
    if (const size_t end = rest.rfind('\n'); end != std::string_view::npos) return consume(end + 1);
    size_t cut = max_bytes;
    while (cut + 3 > max_bytes && (unread()[cut] & 0xC0) == 0x80) --cut;
    return consume(cut);
  }

  // The next line with its line end; empty at the end of the file.
  Result<std::string_view> next_line() {
    size_t searched = 0;
    while (true) {
      const size_t end = unread().find('\n', searched);
      if (end != std::string_view::npos) return consume(end + 1);
      searched = unread().size();
      if (is_at_end_) return consume(searched);
      if (searched > kMaxLineBytes) {
        return bad_line(cat("the line has more than ", human_bytes(kMaxLineBytes)), file_, line_)
            .with_hint("a .jsonl file has one JSON object a line");
      }
      SKARV_TRY(fill(searched + kReadBytes));
    }
  }

  // To be called when the last piece is done with: `line()` moves on to the next one.
  void advance_line() { line_ += std::exchange(num_pending_lines_, 0); }

 private:
  std::string_view unread() const { return std::string_view(buffer_).substr(begin_); }

  std::string_view consume(size_t count) {
    const std::string_view piece = unread().substr(0, count);
    begin_ += count;
    num_pending_lines_ += static_cast<uint64_t>(std::count(piece.begin(), piece.end(), '\n'));
    return piece;
  }

  // Reads until `size` bytes are unread or the file ends.
  Status fill(size_t size) {
    if (buffer_.size() - begin_ >= size || is_at_end_) return Status();
    buffer_.erase(0, std::exchange(begin_, 0));
    while (buffer_.size() < size && !is_at_end_) {
      const size_t old_size = buffer_.size();
      buffer_.resize(old_size + kReadBytes);
      ssize_t count;
      do {
        count = ::read(handle_.get(), buffer_.data() + old_size, kReadBytes);
      } while (count < 0 && errno == EINTR);
      if (count < 0) return io_error("cannot read", file_.path.string(), errno);
      buffer_.resize(old_size + static_cast<size_t>(count));
      is_at_end_ = count == 0;
    }
    return Status();
  }

  CorpusFile file_;
  FileHandle handle_;
  bool is_jsonl_ = false;
  std::string buffer_;
  size_t begin_ = 0;
  bool is_at_end_ = false;
  uint64_t line_ = 1;
  uint64_t num_pending_lines_ = 0;
};

CorpusReader::CorpusReader(CorpusOptions options, std::vector<CorpusFile> files)
    : options_(std::move(options)), files_(std::move(files)) {}
CorpusReader::~CorpusReader() = default;
CorpusReader::CorpusReader(CorpusReader&&) noexcept = default;

Result<bool> CorpusReader::next(CorpusDocument* document) {
  while (true) {
    if (cursor_ == nullptr) {
      if (next_file_ == files_.size()) return false;
      SKARV_ASSIGN(cursor_, FileCursor::open(files_[next_file_]));
      ++next_file_;
    }
    SKARV_ASSIGN(const bool found, next_of_file(document));
    if (found) return true;
    cursor_ = nullptr;
  }
}

Result<bool> CorpusReader::next_of_file(CorpusDocument* document) {
  while (true) {
    cursor_->advance_line();
    SKARV_ASSIGN(const std::string_view piece,
                 cursor_->is_jsonl() ? cursor_->next_line()
                                     : cursor_->next_piece(options_.max_document_bytes));
    if (piece.empty()) return false;
    if (options_.max_bytes > 0 && num_bytes_read_ + piece.size() > options_.max_bytes) {
      next_file_ = files_.size();
      return false;
    }
    num_bytes_read_ += piece.size();
    document->text.assign(piece);
    document->name = cursor_->file().name;
    document->line = cursor_->line();
    num_replaced_ += repair_utf8(document->text);
    if (cursor_->is_jsonl()) {
      if (document->text.find_first_not_of(" \t\r\n") == std::string::npos) continue;
      SKARV_ASSIGN(document->text, text_of_line(document->text, options_.text_field,
                                                cursor_->file(), cursor_->line()));
      if (document->text.empty()) continue;
    }
    return true;
  }
}

}  // namespace skarv
