#include "ckpt/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>

#include "base/json.h"
#include "base/text.h"
#include "ckpt/half.h"

namespace skarv {

namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");
constexpr size_t kPiece = 1 << 16;
constexpr int64_t kMaxElements = int64_t{1} << 56;

// -1 when the product is negative or absurd.
int64_t product(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (size < 0 || size > kMaxElements) return -1;
    if (size > 0 && count > kMaxElements / size) return -1;
    count *= size;
  }
  return count;
}

Status damaged(const std::filesystem::path& path, const std::string& cause) {
  return Status(Code::kDataLoss, Scope::kRun, "not a whole safetensors file: " + cause)
      .at(path.string())
      .with_hint("use another copy of the file, or an older checkpoint");
}

Status read_at(int fd, int64_t offset, std::span<std::byte> out,
               const std::filesystem::path& path) {
  while (!out.empty()) {
    const ssize_t count = ::pread(fd, out.data(), out.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io_error("cannot read", path.string(), errno);
    if (count == 0) return damaged(path, cat("it ends at byte ", offset));
    out = out.subspan(static_cast<size_t>(count));
    offset += count;
  }
  return Status();
}

bool is_whole_number(const Json& json) { return json.is_number_unsigned(); }

Result<TensorEntry> parse_entry(const std::string& name, const Json& json,
                                const std::filesystem::path& path) {
  const auto fault = [&](const std::string& cause) {
    return damaged(path, "tensor \"" + name + "\" " + cause);
  };
  if (!json.is_object() || !json.contains("dtype") || !json.contains("shape") ||
      !json.contains("data_offsets")) {
    return fault("lacks dtype, shape or data_offsets");
  }
  const Json &type = json["dtype"], &shape = json["shape"], &range = json["data_offsets"];
  TensorEntry entry;
  entry.name = name;
  if (!shape.is_array() || !std::ranges::all_of(shape, is_whole_number)) {
    return fault("has a shape that is no list of whole numbers");
  }
  if (!range.is_array() || range.size() != 2 || !std::ranges::all_of(range, is_whole_number)) {
    return fault("has data_offsets that are no two whole numbers");
  }
  for (const Json& size : shape) {
    entry.shape.push_back(static_cast<int64_t>(
        std::min<uint64_t>(size.get<uint64_t>(), std::numeric_limits<int64_t>::max())));
  }
  bool known = false;
  for (const DataType candidate : {DataType::kFloat32, DataType::kFloat16, DataType::kBfloat16}) {
    if (type.is_string() && type.get<std::string>() == name_of(candidate)) {
      entry.type = candidate;
      known = true;
    }
  }
  if (!known) {
    return config_error("tensor \"" + name + "\" has the type " + type.dump())
        .at(path.string())
        .with_hint("Skarv reads F32, F16 and BF16: convert the file first");
  }
  const auto begin = range[0].get<uint64_t>(), end = range[1].get<uint64_t>();
  const int64_t num_elements = product(entry.shape);
  if (num_elements < 0) return fault("has a shape too large to be one");
  if (begin > end || end > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ||
      end - begin !=
          static_cast<uint64_t>(num_elements) * static_cast<uint64_t>(bytes_of(entry.type))) {
    return fault("has a byte range that does not fit its shape");
  }
  entry.begin = static_cast<int64_t>(begin);
  entry.end = static_cast<int64_t>(end);
  return entry;
}

}  // namespace

const char* name_of(DataType type) {
  switch (type) {
    case DataType::kFloat32:
      return "F32";
    case DataType::kFloat16:
      return "F16";
    case DataType::kBfloat16:
      return "BF16";
  }
  return "unknown";
}

int64_t bytes_of(DataType type) { return type == DataType::kFloat32 ? 4 : 2; }

int64_t TensorEntry::num_elements() const { return product(shape); }

Result<SafetensorsReader> SafetensorsReader::open(const std::filesystem::path& path) {
  SafetensorsReader reader;
  reader.path_ = path;
  reader.file_ = FileHandle(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!reader.file_) return io_error("cannot open", path.string(), errno);
  struct stat facts;
  if (::fstat(reader.file_.get(), &facts) != 0) {
    return io_error("cannot look at", path.string(), errno);
  }
  if (!S_ISREG(facts.st_mode)) return damaged(path, "it is no regular file");
  const int64_t file_bytes = facts.st_size;
  uint64_t header_bytes = 0;
  if (file_bytes < 8) return damaged(path, cat("it has ", file_bytes, " bytes"));
  SKARV_TRY(
      read_at(reader.file_.get(), 0, std::as_writable_bytes(std::span(&header_bytes, 1)), path));
  if (header_bytes > static_cast<uint64_t>(kMaxHeaderBytes) ||
      static_cast<int64_t>(header_bytes) > file_bytes - 8) {
    return damaged(path, cat("it announces a header of ", header_bytes, " bytes and has ",
                             file_bytes, " bytes in all"));
  }
  std::string text(header_bytes, '\0');
  SKARV_TRY(read_at(reader.file_.get(), 8, std::as_writable_bytes(std::span(text)), path));
  const Result<Json> header = parse_json(text, path.string());
  if (!header.ok()) return damaged(path, "its header is " + header.status().message());
  if (!header->is_object()) return damaged(path, "its header is no JSON object");
  reader.data_begin_ = 8 + static_cast<int64_t>(header_bytes);
  const int64_t data_bytes = file_bytes - reader.data_begin_;

  std::map<int64_t, const TensorEntry*> by_begin;
  for (const auto& [name, json] : header->items()) {
    if (name == "__metadata__") {
      if (!json.is_object()) return damaged(path, "its metadata is no JSON object");
      for (const auto& [key, value] : json.items()) {
        if (!value.is_string()) return damaged(path, "its metadata has values that are no text");
        reader.metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    SKARV_ASSIGN(TensorEntry entry, parse_entry(name, json, path));
    if (entry.end > data_bytes) {
      return damaged(path, cat("tensor \"", name, "\" ends at byte ", entry.end,
                               " of the data, which has ", data_bytes));
    }
    const auto [place, is_new] = reader.tensors_.emplace(name, std::move(entry));
    if (!is_new) return damaged(path, "tensor \"" + name + "\" appears twice");
    if (place->second.begin == place->second.end) continue;
    if (!by_begin.emplace(place->second.begin, &place->second).second) {
      return damaged(path, "tensor \"" + name + "\" overlaps another");
    }
  }
  int64_t end = 0;
  for (const auto& [begin, entry] : by_begin) {
    if (begin < end) return damaged(path, "tensor \"" + entry->name + "\" overlaps another");
    end = entry->end;
  }
  return reader;
}

Status SafetensorsReader::read(const std::string& name, int64_t begin, std::span<float> out) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    std::vector<std::string> names;
    for (const auto& [known, entry] : tensors_) names.push_back(known);
    const std::string nearest = nearest_name(name, names);
    return Status(Code::kNotFound, Scope::kRun, "there is no tensor \"" + name + "\"")
        .at(path_.string())
        .with_hint(nearest.empty() ? "the file is of another model"
                                   : "the nearest name is \"" + nearest + "\"");
  }
  const TensorEntry& entry = found->second;
  const auto count = static_cast<int64_t>(out.size());
  if (begin < 0 || count > entry.num_elements() || begin > entry.num_elements() - count) {
    return config_error(cat("elements ", begin, " to ", begin + count, " of tensor \"", name,
                            "\", which has ", entry.num_elements()))
        .at(path_.string());
  }
  const int64_t width = bytes_of(entry.type);
  const int64_t offset = data_begin_ + entry.begin + begin * width;
  if (entry.type == DataType::kFloat32) {
    return read_at(file_.get(), offset, std::as_writable_bytes(out), path_);
  }
  std::vector<uint16_t> piece(std::min(kPiece, out.size()));
  for (size_t done = 0; done < out.size();) {
    const size_t length = std::min(kPiece, out.size() - done);
    const std::span<uint16_t> words(piece.data(), length);
    SKARV_TRY(read_at(file_.get(), offset + static_cast<int64_t>(done) * width,
                      std::as_writable_bytes(words), path_));
    for (size_t i = 0; i < length; ++i) {
      out[done + i] = entry.type == DataType::kBfloat16 ? float_from_bfloat16(words[i])
                                                        : float_from_float16(words[i]);
    }
    done += length;
  }
  return Status();
}

// --- writing

Result<SafetensorsWriter> SafetensorsWriter::create(
    const std::filesystem::path& path, std::vector<TensorDeclaration> tensors,
    const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const TensorDeclaration& tensor : tensors) {
    const int64_t num_elements = product(tensor.shape);
    if (num_elements < 0 || header.contains(tensor.name)) {
      return bug("safetensors: tensor \"" + tensor.name + "\" is declared twice or has no size");
    }
    const int64_t end = offset + num_elements * bytes_of(tensor.type);
    header[tensor.name] = {
        {"dtype", name_of(tensor.type)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data begins aligned
  const uint64_t header_bytes = text.size();

  SafetensorsWriter writer;
  writer.path_ = path;
  writer.tensors_ = std::move(tensors);
  writer.file_ = FileHandle(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!writer.file_) return io_error("cannot create", path.string(), errno);
  SKARV_TRY(writer.write(std::as_bytes(std::span(&header_bytes, 1))));
  SKARV_TRY(writer.write(std::as_bytes(std::span(text))));
  return writer;
}

SafetensorsWriter::~SafetensorsWriter() {
  if (file_) ::unlink(path_.c_str());
}

Status SafetensorsWriter::write(std::span<const std::byte> bytes) {
  hasher_.add(bytes);
  num_bytes_ += static_cast<int64_t>(bytes.size());
  while (!bytes.empty()) {
    const ssize_t count = ::write(file_.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io_error("cannot write", path_.string(), errno);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return Status();
}

Status SafetensorsWriter::append(std::span<const float> values) {
  std::vector<uint16_t> words;
  while (!values.empty()) {
    while (tensor_ < tensors_.size() && element_ == product(tensors_[tensor_].shape)) {
      ++tensor_;
      element_ = 0;
    }
    if (tensor_ == tensors_.size()) return bug("safetensors: more values than were declared");
    const DataType type = tensors_[tensor_].type;
    const auto left = static_cast<size_t>(product(tensors_[tensor_].shape) - element_);
    size_t count = std::min(values.size(), left);
    if (type == DataType::kFloat32) {
      SKARV_TRY(write(std::as_bytes(values.first(count))));
    } else {
      count = std::min(count, kPiece);
      words.resize(count);
      for (size_t i = 0; i < count; ++i) {
        words[i] = type == DataType::kBfloat16 ? bfloat16_from_float(values[i])
                                               : float16_from_float(values[i]);
      }
      SKARV_TRY(write(std::as_bytes(std::span(words))));
    }
    values = values.subspan(count);
    element_ += static_cast<int64_t>(count);
  }
  return Status();
}

Result<Digest> SafetensorsWriter::finish() {
  while (tensor_ < tensors_.size() && element_ == product(tensors_[tensor_].shape)) {
    ++tensor_;
    element_ = 0;
  }
  if (tensor_ != tensors_.size()) {
    return bug("safetensors: values of tensor \"" + tensors_[tensor_].name + "\" are missing");
  }
  if (::fsync(file_.get()) != 0) return io_error("cannot sync", path_.string(), errno);
  ::close(file_.release());
  return hasher_.finish();
}

}  // namespace skarv
