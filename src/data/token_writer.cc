#include "data/token_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/bytes.h"
#include "base/text.h"
#include "data/token_file.h"
#include "data/token_format.h"

namespace skarv {

namespace fs = std::filesystem;

namespace {

constexpr size_t kBufferBytes = 1 << 20;

}  // namespace

Result<std::unique_ptr<TokenWriter>> TokenWriter::create(const fs::path& prefix,
                                                         int32_t vocabulary_size) {
  const fs::path temporary = bin_path(prefix).string() + ".tmp";
  std::error_code error;
  fs::remove(temporary, error);  // left by an interrupted run
  if (error) return io_error("cannot remove", temporary.string(), error.value());
  SKARV_ASSIGN(AppendFile file, AppendFile::open(temporary));
  return std::unique_ptr<TokenWriter>(
      new TokenWriter(std::move(file), prefix, vocabulary_size >= kSmallVocabulary));
}

TokenWriter::TokenWriter(AppendFile file, fs::path prefix, bool is_wide)
    : file_(std::move(file)), prefix_(std::move(prefix)), is_wide_(is_wide) {
  buffer_.reserve(kBufferBytes);
}

TokenWriter::~TokenWriter() {
  std::error_code ignored;
  if (!is_finished_) fs::remove(file_.path(), ignored);
}

Status TokenWriter::add(std::span<const int32_t> ids) {
  const size_t width = is_wide_ ? 4 : 2;
  for (size_t done = 0; done < ids.size();) {
    if (buffer_.size() + width > kBufferBytes) SKARV_TRY(flush());
    const size_t count = std::min(ids.size() - done, (kBufferBytes - buffer_.size()) / width);
    const size_t old_size = buffer_.size();
    buffer_.resize(old_size + count * width);
    std::byte* to = buffer_.data() + old_size;
    for (size_t i = 0; i < count; ++i, to += width) std::memcpy(to, &ids[done + i], width);
    done += count;
  }
  lengths_.push_back(static_cast<int32_t>(ids.size()));
  num_tokens_ += ids.size();
  return Status();
}

Status TokenWriter::flush() {
  hasher_.add(buffer_);
  SKARV_TRY(file_.append(buffer_));
  buffer_.clear();
  return Status();
}

std::string TokenWriter::index() const {
  std::string bytes(kIndexMagic);
  append_bytes(bytes, kIndexVersion);
  append_bytes(bytes, is_wide_ ? kTokenInt32 : kTokenUint16);
  append_bytes(bytes, static_cast<uint64_t>(lengths_.size()));
  append_bytes(bytes, static_cast<uint64_t>(lengths_.size() + 1));
  for (int32_t length : lengths_) append_bytes(bytes, length);
  int64_t offset = 0;
  for (int32_t length : lengths_) {
    append_bytes(bytes, offset);
    offset += int64_t{length} * (is_wide_ ? 4 : 2);
  }
  for (size_t border = 0; border <= lengths_.size(); ++border) {
    append_bytes(bytes, static_cast<int64_t>(border));
  }
  return bytes;
}

Result<Digest> TokenWriter::finish() {
  SKARV_TRY(flush());
  SKARV_TRY(file_.sync());
  // The data first: if we stop in between, the old index does not fit the new data, and says so.
  std::error_code error;
  fs::rename(file_.path(), bin_path(prefix_), error);
  if (error) return io_error("cannot rename into place", file_.path().string(), error.value());
  is_finished_ = true;
  SKARV_TRY(write_file_atomic(idx_path(prefix_), index()));
  return hasher_.finish();
}

}  // namespace skarv
