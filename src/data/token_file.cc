#include "data/token_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/text.h"
#include "data/token_format.h"

namespace skarv {

static_assert(std::endian::native == std::endian::little, "token files are mapped as they are");

namespace fs = std::filesystem;

fs::path bin_path(const fs::path& prefix) { return prefix.string() + ".bin"; }
fs::path idx_path(const fs::path& prefix) { return prefix.string() + ".idx"; }

Result<MappedFile> MappedFile::open(const fs::path& path) {
  FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return io_error("cannot open", path.string(), errno);
  struct stat facts;
  if (::fstat(file.get(), &facts) != 0) return io_error("cannot read", path.string(), errno);
  if (!S_ISREG(facts.st_mode)) return config_error("this is no file").at(path.string());
  const size_t size = static_cast<size_t>(facts.st_size);
  if (size == 0) return MappedFile({});
  void* memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (memory == MAP_FAILED) return io_error("cannot map", path.string(), errno);
  return MappedFile({static_cast<const std::byte*>(memory), size});
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}
MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

namespace {

template <typename T>
T number_at(std::span<const std::byte> bytes, uint64_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

Result<TokenFile> TokenFile::open(const fs::path& prefix) {
  SKARV_ASSIGN(MappedFile data, MappedFile::open(bin_path(prefix)));
  TokenFile file(std::move(data), prefix);
  SKARV_TRY(file.read_index());
  return file;
}

Status TokenFile::read_index() {
  const std::string path = idx_path(prefix_).string();
  SKARV_ASSIGN(const MappedFile mapped, MappedFile::open(path));
  const std::span<const std::byte> bytes = mapped.bytes();
  const auto lost = [&](const std::string& what) {
    return Status(Code::kDataLoss, Scope::kConfig, what)
        .at(path)
        .with_hint("make the token files again: skarv data");
  };
  if (bytes.size() < kIndexHeaderBytes) {
    return lost(cat("the index has ", bytes.size(), " bytes, less than its header"));
  }
  if (std::memcmp(bytes.data(), kIndexMagic.data(), kIndexMagic.size()) != 0) {
    return lost("the index does not begin with MMIDIDX");
  }
  if (const auto version = number_at<uint64_t>(bytes, 9); version != kIndexVersion) {
    return lost(cat("the index has version ", version, ", not ", kIndexVersion));
  }
  const uint8_t type = number_at<uint8_t>(bytes, 17);
  if (type != kTokenUint16 && type != kTokenInt32) {
    return config_error(cat("tokens of Megatron's type ", int{type}, " are not supported"))
        .at(path)
        .with_hint("write them as uint16 (8) or int32 (4)");
  }
  token_bytes_ = type == kTokenUint16 ? 2 : 4;
  const auto num_sequences = number_at<uint64_t>(bytes, 18);
  const auto num_borders = number_at<uint64_t>(bytes, 26);
  // Bounded first, so that the products below cannot overflow.
  const uint64_t rest = bytes.size() - kIndexHeaderBytes;
  if (num_sequences > rest / 12 || num_borders > rest / 8 ||
      num_sequences * 12 + num_borders * 8 != rest) {
    return lost(cat("the index has ", bytes.size(), " bytes, which do not fit ", num_sequences,
                    " sequences and ", num_borders, " document borders"));
  }
  const uint64_t lengths = kIndexHeaderBytes, offsets = lengths + num_sequences * 4,
                 borders = offsets + num_sequences * 8;
  uint64_t position = 0;
  for (uint64_t i = 0; i < num_sequences; ++i) {
    const auto length = number_at<int32_t>(bytes, lengths + i * 4);
    const auto offset = number_at<int64_t>(bytes, offsets + i * 8);
    if (length < 0) return lost(cat("sequence ", i, " has the length ", length));
    if (offset < 0 || static_cast<uint64_t>(offset) != position) {
      return lost(cat("sequence ", i, " begins at byte ", offset, " instead of ", position));
    }
    position += static_cast<uint64_t>(length) * static_cast<uint64_t>(token_bytes_);
  }
  if (position != data_.bytes().size()) {
    return lost(cat("the index describes ", position, " bytes of tokens, but ",
                    bin_path(prefix_).string(), " has ", data_.bytes().size()));
  }
  int64_t last = 0;
  for (uint64_t i = 0; i < num_borders; ++i) {
    const auto border = number_at<int64_t>(bytes, borders + i * 8);
    if (border < last || (i == 0 && border != 0)) {
      return lost(cat("document border ", i, " is at sequence ", border));
    }
    last = border;
  }
  if (num_borders == 0 || static_cast<uint64_t>(last) != num_sequences) {
    return lost(cat("the documents end at sequence ", last, " of ", num_sequences));
  }
  num_documents_ = num_borders - 1;
  num_tokens_ = position / static_cast<uint64_t>(token_bytes_);
  return Status();
}

void TokenFile::read(uint64_t first, std::span<int32_t> out) const {
  if (out.empty()) return;
  const std::byte* from = data_.bytes().data() + first * static_cast<uint64_t>(token_bytes_);
  if (token_bytes_ == 4) {
    std::memcpy(out.data(), from, out.size_bytes());
    return;
  }
  const auto* small = reinterpret_cast<const uint16_t*>(from);
  for (size_t i = 0; i < out.size(); ++i) out[i] = small[i];
}

Status TokenFile::check_ids(int32_t vocabulary_size) const {
  std::vector<int32_t> part(1 << 16);
  for (uint64_t first = 0; first < num_tokens_; first += part.size()) {
    part.resize(std::min<uint64_t>(part.size(), num_tokens_ - first));
    read(first, part);
    for (size_t i = 0; i < part.size(); ++i) {
      if (part[i] < 0 || part[i] >= vocabulary_size) {
        return Status(Code::kDataLoss, Scope::kConfig,
                      cat("token ", first + i, " is ", part[i], ", outside the vocabulary of ",
                          vocabulary_size))
            .at(bin_path(prefix_).string())
            .with_hint("the file belongs to another tokenizer: make it again with skarv data");
      }
    }
  }
  return Status();
}

std::vector<uint64_t> TokenFile::count_ids(int32_t vocabulary_size) const {
  std::vector<uint64_t> counts(static_cast<size_t>(vocabulary_size), 0);
  std::vector<int32_t> part(1 << 16);
  for (uint64_t first = 0; first < num_tokens_; first += part.size()) {
    part.resize(std::min<uint64_t>(part.size(), num_tokens_ - first));
    read(first, part);
    for (int32_t id : part) ++counts[static_cast<size_t>(id)];
  }
  return counts;
}

}  // namespace skarv
