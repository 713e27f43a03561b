#include "wan/keeper_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/text.h"

namespace skarv {

namespace {

constexpr std::array<char, 8> kMagic = {'S', 'K', 'A', 'R', 'V', 'K', 'M', '1'};
constexpr int64_t kAlignment = 64;  // a cache line, and more than any vector unit asks for

struct RegionHeader {
  std::array<char, 8> magic;
  Digest layout;
};
constexpr int64_t kHeaderBytes = 4096;

// Hands out aligned arrays one after the other; with `begin` null it only counts.
class Cursor {
 public:
  explicit Cursor(std::byte* begin) : begin_(begin) {}

  template <typename T>
  std::span<T> take(int64_t count) {
    const int64_t offset = offset_;
    const int64_t end = offset + count * static_cast<int64_t>(sizeof(T));
    offset_ = (end + kAlignment - 1) / kAlignment * kAlignment;
    if (begin_ == nullptr || count == 0) return {};
    return {reinterpret_cast<T*>(begin_ + offset), static_cast<size_t>(count)};
  }
  int64_t offset() const { return offset_; }

 private:
  std::byte* begin_;
  int64_t offset_ = kHeaderBytes;
};

struct Carved {
  std::span<FragmentStamp> fragments;
  std::vector<SlabMemory> slabs;
  int64_t num_bytes = 0;
};

Carved carve(std::byte* begin, const SlabTable& table, const KeeperSettings& settings) {
  const Codec &upload = codec_of(settings.upload), &download = codec_of(settings.download);
  const bool with_residual = !settings.exact && !upload.lossless();
  Cursor cursor(begin);
  Carved carved;
  carved.fragments = cursor.take<FragmentStamp>(table.num_fragments());
  const auto stamps = cursor.take<SlabStamp>(static_cast<int64_t>(settings.slabs.size()));
  for (size_t i = 0; i < settings.slabs.size(); ++i) {
    SlabMemory memory;
    memory.slab = settings.slabs[i];
    memory.stamp = begin == nullptr ? nullptr : &stamps[i];
    const int64_t size = table[memory.slab].size();
    for (int side : {0, 1}) {
      memory.w[side] = cursor.take<float>(size);
      memory.m[side] = cursor.take<float>(size);
      if (settings.exact) memory.v[side] = cursor.take<float>(size);
      if (with_residual) memory.residual[side] = cursor.take<float>(size);
    }
    memory.contribution = cursor.take<std::byte>(upload.encoded_bytes(size));
    memory.merged = cursor.take<std::byte>(download.encoded_bytes(size));
    carved.slabs.push_back(memory);
  }
  carved.num_bytes = cursor.offset();
  return carved;
}

Digest layout_digest(const SlabTable& table, const KeeperSettings& settings) {
  Hasher hasher;
  const Digest model = table.digest();
  hasher.add(std::as_bytes(std::span(model.bytes)));
  for (const CodecKind kind : {settings.upload, settings.download}) {
    hasher.add(name_of(kind)).add_number(codec_of(kind).version());
  }
  hasher.add_number(static_cast<uint8_t>(settings.exact));
  for (const int slab : settings.slabs) hasher.add_number(static_cast<int32_t>(slab));
  return hasher.finish();
}

Status check_slabs(const SlabTable& table, const KeeperSettings& settings) {
  int before = -1;
  for (const int slab : settings.slabs) {
    if (slab <= before || slab >= table.size()) {
      return bug(cat("keeper memory: slab ", slab, " after slab ", before, " in a table of ",
                     table.size(), "; the list has to ascend"));
    }
    before = slab;
  }
  return Status();
}

}  // namespace

void KeeperMemory::Unmap::operator()(std::byte* region) const { ::munmap(region, size); }

int64_t KeeperMemory::bytes_for(const SlabTable& table, const KeeperSettings& settings) {
  return carve(nullptr, table, settings).num_bytes;
}

Result<KeeperMemory> KeeperMemory::allocate(const SlabTable& table,
                                            const KeeperSettings& settings) {
  SKARV_TRY(check_slabs(table, settings));
  const auto size = static_cast<size_t>(bytes_for(table, settings));
  void* region = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (region == MAP_FAILED) {
    return Status(Code::kResourceExhausted, Scope::kSite,
                  cat("no memory for the outer state of ", settings.slabs.size(), " slabs, ",
                      human_bytes(static_cast<double>(size)), ": ", std::strerror(errno)))
        .with_hint("give this host fewer slabs (owner_share in the plan) or more memory");
  }
  std::unique_ptr<std::byte, Unmap> owned(static_cast<std::byte*>(region), Unmap{size});
  SKARV_ASSIGN(KeeperMemory memory, adopt({owned.get(), size}, table, settings));
  memory.owned_ = std::move(owned);
  return memory;
}

Result<KeeperMemory> KeeperMemory::adopt(std::span<std::byte> region, const SlabTable& table,
                                         const KeeperSettings& settings) {
  SKARV_TRY(check_slabs(table, settings));
  const int64_t wanted = bytes_for(table, settings);
  if (static_cast<int64_t>(region.size()) < wanted ||
      reinterpret_cast<uintptr_t>(region.data()) % kAlignment != 0) {
    return bug(cat("keeper memory: a region of ", region.size(), " bytes at ",
                   static_cast<const void*>(region.data()), "; it takes ", wanted,
                   " bytes, aligned to ", kAlignment));
  }
  KeeperMemory memory;
  memory.settings_ = settings;
  memory.begin_ = region.data();
  auto* header = reinterpret_cast<RegionHeader*>(region.data());
  const Digest layout = layout_digest(table, settings);
  if (header->magic == decltype(header->magic){}) {
    header->layout = layout;
    std::atomic_thread_fence(std::memory_order_release);
    header->magic = kMagic;
  } else if (header->magic != kMagic || header->layout != layout) {
    return Status(Code::kFailedPrecondition, Scope::kSite,
                  "the shared memory holds the outer state of another model, plan or codec")
        .with_hint("start the host's workers anew; the state is then fetched from other islands");
  } else {
    memory.was_empty_ = false;
  }
  Carved carved = carve(region.data(), table, settings);
  memory.fragments_ = carved.fragments;
  memory.slabs_ = std::move(carved.slabs);
  return memory;
}

int64_t KeeperMemory::offset_of(const void* address) const {
  return static_cast<const std::byte*>(address) - begin_;
}

}  // namespace skarv
