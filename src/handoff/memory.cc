#include "handoff/memory.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/text.h"

namespace skarv::handoff {

namespace {

constexpr int64_t kPage = 4096;
constexpr int64_t kAlignment = 64;
constexpr uint32_t kLayoutVersion = 1;
constexpr char kMagic[8] = {'s', 'k', 'a', 'r', 'v', 'm', 'e', 'm'};
constexpr int kArraysPerSlab = 7;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t num_slabs;
  int64_t num_bytes;
  int64_t keeper_bytes;
  Digest table;
};
constexpr int64_t kWordsOffset = 1024;
static_assert(sizeof(Header) <= kWordsOffset);
static_assert(kWordsOffset + SharedMemory::kNumAgentWords * sizeof(int64_t) <= kPage);

struct Entry {
  int64_t slab;
  int64_t w[2];     // offsets in the keeper's region
  int64_t current;  // side of w
};

int64_t round_up(int64_t bytes, int64_t to) { return (bytes + to - 1) / to * to; }

int64_t array_bytes(const SlabTable& table, int slab) {
  return round_up(table[slab].size() * static_cast<int64_t>(sizeof(float)), kAlignment);
}

int64_t entries_end(int64_t num_slabs) {
  return round_up(kPage + num_slabs * static_cast<int64_t>(sizeof(Entry)), kPage);
}

int64_t bytes_needed(const SlabTable& table, const std::vector<int>& slabs, int64_t keeper_bytes) {
  int64_t bytes = entries_end(static_cast<int64_t>(slabs.size())) + round_up(keeper_bytes, kPage);
  for (int slab : slabs) bytes += kArraysPerSlab * array_bytes(table, slab);
  return bytes;
}

const Header& header_of(const std::byte* base) { return *reinterpret_cast<const Header*>(base); }

std::span<Entry> entries_of(std::byte* base) {
  return {reinterpret_cast<Entry*>(base + kPage), header_of(base).num_slabs};
}

Result<std::byte*> map_file(const FileHandle& file, int64_t bytes) {
  void* base = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED,
                      file.get(), 0);
  if (base == MAP_FAILED) return io_error("cannot map shared memory", "memfd", errno);
  return static_cast<std::byte*>(base);
}

Status foreign(const std::string& why) {
  return Status(Code::kDataLoss, Scope::kPeer, "shared memory is not of this plan: " + why);
}

}  // namespace

SharedMemory::SharedMemory(SharedMemory&& other) noexcept { *this = std::move(other); }

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(base_, other.base_);
  std::swap(num_bytes_, other.num_bytes_);
  std::swap(slabs_, other.slabs_);
  std::swap(arrays_, other.arrays_);
  std::swap(position_, other.position_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (base_ != nullptr) ::munmap(base_, static_cast<size_t>(num_bytes_));
}

Result<SharedMemory> SharedMemory::create(const SlabTable& table, std::vector<int> slabs,
                                          int64_t keeper_bytes) {
  SharedMemory memory;
  memory.file_ = FileHandle(::memfd_create("skarv-slabs", MFD_CLOEXEC));
  if (!memory.file_) return io_error("cannot make shared memory", "memfd", errno);
  const int64_t bytes = bytes_needed(table, slabs, keeper_bytes);
  if (::ftruncate(memory.fd(), bytes) != 0) {
    return io_error(
        cat("cannot reserve ", human_bytes(static_cast<double>(bytes)), " of shared memory"),
        "memfd", errno);
  }
  SKARV_ASSIGN(memory.base_, map_file(memory.file_, bytes));
  memory.num_bytes_ = bytes;

  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kLayoutVersion;
  header.num_slabs = static_cast<uint32_t>(slabs.size());
  header.num_bytes = bytes;
  header.keeper_bytes = keeper_bytes;
  header.table = table.digest();
  std::memcpy(memory.base_, &header, sizeof header);
  for (size_t i = 0; i < slabs.size(); ++i) entries_of(memory.base_)[i] = {slabs[i], {0, 0}, 0};
  memory.map_arrays(table);
  return memory;
}

Result<SharedMemory> SharedMemory::adopt(FileHandle file, const SlabTable& table) {
  struct stat found;
  if (::fstat(file.get(), &found) != 0) return io_error("no shared memory came", "memfd", errno);
  if (found.st_size < kPage) return foreign(cat("it has only ", found.st_size, " bytes"));
  SharedMemory memory;
  memory.file_ = std::move(file);
  SKARV_ASSIGN(memory.base_, map_file(memory.file_, found.st_size));
  memory.num_bytes_ = found.st_size;

  const Header& header = header_of(memory.base_);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.version != kLayoutVersion) {
    return foreign("another version of Skarv made it");
  }
  if (header.table != table.digest()) return foreign("it holds another model");
  if (header.num_bytes != found.st_size || header.num_slabs > static_cast<uint32_t>(table.size()) ||
      header.keeper_bytes < 0 || header.keeper_bytes > found.st_size ||
      entries_end(header.num_slabs) > found.st_size) {
    return foreign("its header is damaged");
  }
  std::vector<int> slabs;
  for (const Entry& entry : entries_of(memory.base_)) {
    if (entry.slab < 0 || entry.slab >= table.size() ||
        (!slabs.empty() && entry.slab <= slabs.back())) {
      return foreign("its list of slabs is damaged");
    }
    const int64_t bytes = table[static_cast<int>(entry.slab)].size() * int64_t{sizeof(float)};
    for (int64_t offset : entry.w) {
      if (offset < 0 || offset % int64_t{sizeof(float)} != 0 ||
          offset > header.keeper_bytes - std::min(bytes, header.keeper_bytes)) {
        return foreign("a place in the keeper's region is damaged");
      }
    }
    slabs.push_back(static_cast<int>(entry.slab));
  }
  if (bytes_needed(table, slabs, header.keeper_bytes) != found.st_size) {
    return foreign("its size does not fit its slabs");
  }
  memory.map_arrays(table);
  return memory;
}

std::span<std::byte> SharedMemory::keeper_region() const {
  return {base_ + entries_end(header_of(base_).num_slabs),
          static_cast<size_t>(header_of(base_).keeper_bytes)};
}

std::span<int64_t> SharedMemory::agent_words() const {
  return {reinterpret_cast<int64_t*>(base_ + kWordsOffset), kNumAgentWords};
}

void SharedMemory::map_arrays(const SlabTable& table) {
  const std::span<std::byte> keeper = keeper_region();
  std::byte* next = keeper.data() + round_up(static_cast<int64_t>(keeper.size()), kPage);
  for (const Entry& entry : entries_of(base_)) {
    const int slab = static_cast<int>(entry.slab);
    const size_t size = static_cast<size_t>(table[slab].size());
    SlabMemory& arrays = arrays_[slab];
    for (int side : {0, 1}) {
      arrays.w[side] = {reinterpret_cast<float*>(keeper.data() + entry.w[side]), size};
    }
    for (auto* array : {&arrays.snapshot, &arrays.x[0], &arrays.x[1], &arrays.exp_avg[0],
                        &arrays.exp_avg[1], &arrays.exp_avg_sq[0], &arrays.exp_avg_sq[1]}) {
      *array = {reinterpret_cast<float*>(next), size};
      next += array_bytes(table, slab);
    }
    position_[slab] = slabs_.size();
    slabs_.push_back(slab);
  }
}

void SharedMemory::place_w(int slab, int64_t offset0, int64_t offset1) {
  Entry& entry = entries_of(base_)[position_.at(slab)];
  entry.w[0] = offset0, entry.w[1] = offset1;
  SlabMemory& arrays = arrays_.at(slab);
  for (int side : {0, 1}) {
    arrays.w[side] = {reinterpret_cast<float*>(keeper_region().data() + entry.w[side]),
                      arrays.w[side].size()};
  }
}

void SharedMemory::set_current_w(int slab, int side) {
  // The worker reads it after a message that is sent later, so the message orders the two.
  entries_of(base_)[position_.at(slab)].current = side;
}

std::span<const float> SharedMemory::w_now(int slab) const {
  return at(slab).w[entries_of(base_)[position_.at(slab)].current & 1];
}

std::span<const float> SharedMemory::w_before(int slab) const {
  return at(slab).w[~entries_of(base_)[position_.at(slab)].current & 1];
}

}  // namespace skarv::handoff
