#include "wan/payload_log.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <set>

#include "base/text.h"
#include "wan/payload.h"

namespace skarv {

namespace fs = std::filesystem;

namespace {

constexpr std::array<char, 8> kMagic = {'S', 'K', 'A', 'R', 'V', 'P', 'L', '1'};
constexpr uint32_t kMark = 0x4C504B53;  // "SKPL"
constexpr int64_t kLargestPayload = 64 << 20;

struct SegmentHeader {
  std::array<char, 8> magic;
  Digest run;
};
static_assert(sizeof(SegmentHeader) == 40);

struct RecordHeader {
  uint32_t mark;
  int32_t slab;
  int64_t round;
  uint64_t num_bytes;
  Digest leaf;
  uint64_t check;
};
static_assert(sizeof(RecordHeader) == 64);

uint64_t check_of(const RecordHeader& header) {
  const Digest digest =
      digest_of(std::as_bytes(std::span(&header, 1)).first(offsetof(RecordHeader, check)));
  uint64_t value;
  std::memcpy(&value, digest.bytes.data(), sizeof value);
  return value;
}

std::string file_name(int64_t number) {
  std::string digits = std::to_string(number);
  return "payloads-" + std::string(digits.size() < 8 ? 8 - digits.size() : 0, '0') + digits +
         ".log";
}

// The number in a segment's name, or -1.
int64_t number_of(const std::string& name) {
  constexpr std::string_view kBefore = "payloads-", kAfter = ".log";
  if (!name.starts_with(kBefore) || !name.ends_with(kAfter)) return -1;
  const char* begin = name.data() + kBefore.size();
  const char* end = name.data() + name.size() - kAfter.size();
  int64_t number = -1;
  const auto [stop, error] = std::from_chars(begin, end, number);
  return error == std::errc() && stop == end && number >= 0 ? number : -1;
}

}  // namespace

Result<PayloadLog> PayloadLog::open(const fs::path& folder, const Digest& run,
                                    int64_t segment_bytes) {
  SKARV_TRY(make_directories(folder));
  std::set<int64_t> numbers;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (const int64_t number = number_of(entry.path().filename()); number >= 0) {
      numbers.insert(number);
    }
  }
  if (error) return io_error("cannot list the payload log", folder.string(), error.value());
  PayloadLog log(folder, run, segment_bytes);
  for (const int64_t number : numbers) {
    SKARV_TRY(log.load_segment(number, number == *numbers.rbegin()));
  }
  if (log.segments_.empty()) SKARV_TRY(log.add_segment(0));
  return log;
}

Status PayloadLog::add_segment(int64_t number) {
  const fs::path path = folder_ / file_name(number);
  SKARV_ASSIGN(LogFile file, LogFile::open(path));
  const SegmentHeader header{kMagic, run_};
  if (Status status = file.append(std::as_bytes(std::span(&header, 1))); !status.ok()) {
    std::error_code ignored;
    fs::remove(path, ignored);
    return status;
  }
  segments_.emplace(number, Segment{std::move(file)});
  return Status();
}

Status PayloadLog::load_segment(int64_t number, bool last) {
  const fs::path path = folder_ / file_name(number);
  SKARV_ASSIGN(LogFile file, LogFile::open(path));
  SegmentHeader header;
  if (file.size() < static_cast<int64_t>(sizeof header)) {
    // The power went while the segment was created.
    num_torn_bytes_ += file.size();
    std::error_code ignored;
    fs::remove(path, ignored);
    return last ? add_segment(number) : Status();
  }
  SKARV_TRY(file.read(0, std::as_writable_bytes(std::span(&header, 1))));
  if (header.magic != kMagic) {
    return Status(Code::kDataLoss, Scope::kSite, "not a payload log")
        .at(path.string())
        .with_hint("move this file away: what it held is fetched from another island");
  }
  if (header.run != run_) {
    return Status(Code::kFailedPrecondition, Scope::kSite, "a payload log of another run")
        .at(path.string())
        .with_hint("choose another folder, or move this file away");
  }
  Segment segment{std::move(file)};
  int64_t offset = sizeof header;
  while (offset + static_cast<int64_t>(sizeof(RecordHeader)) <= segment.file.size()) {
    RecordHeader record;
    SKARV_TRY(segment.file.read(offset, std::as_writable_bytes(std::span(&record, 1))));
    if (record.mark != kMark || record.check != check_of(record) ||
        record.num_bytes > kLargestPayload) {
      break;
    }
    const auto num_bytes = static_cast<int64_t>(record.num_bytes);
    const int64_t begin = offset + static_cast<int64_t>(sizeof record);
    if (begin + num_bytes > segment.file.size()) break;
    index_[{record.round, record.slab, record.leaf}] = {number, begin, num_bytes};
    segment.last_round = std::max(segment.last_round, record.round);
    offset = begin + num_bytes;
  }
  num_torn_bytes_ += segment.file.size() - offset;
  // Only the segment that grows is cut; an older one keeps what a person may want to look at.
  if (last && offset < segment.file.size()) SKARV_TRY(segment.file.truncate(offset));
  segments_.emplace(number, std::move(segment));
  return Status();
}

Status PayloadLog::append(int slab, int64_t round, const Digest& leaf,
                          std::span<const std::byte> payload) {
  if (has(slab, round, leaf)) return Status();
  if (static_cast<int64_t>(payload.size()) > kLargestPayload) {
    return bug(cat("payload of ", payload.size(), " bytes to slab ", slab));
  }
  if (segments_.rbegin()->second.file.size() >= segment_bytes_) {
    SKARV_TRY(segments_.rbegin()->second.file.sync());
    SKARV_TRY(add_segment(segments_.rbegin()->first + 1));
  }
  auto& [number, segment] = *segments_.rbegin();
  RecordHeader record{kMark, slab, round, payload.size(), leaf, 0};
  record.check = check_of(record);
  const int64_t begin = segment.file.size() + static_cast<int64_t>(sizeof record);
  SKARV_TRY(segment.file.append(std::as_bytes(std::span(&record, 1)), payload)
                .wrap(cat("payload of round ", round, " to slab ", slab, " is not logged")));
  segment.last_round = std::max(segment.last_round, round);
  index_[{round, slab, leaf}] = {number, begin, static_cast<int64_t>(payload.size())};
  return Status();
}

Status PayloadLog::sync() { return segments_.rbegin()->second.file.sync(); }

bool PayloadLog::has(int slab, int64_t round, const Digest& leaf) const {
  return index_.contains({round, slab, leaf});
}

Result<std::vector<std::byte>> PayloadLog::read(int slab, int64_t round, const Digest& leaf) const {
  const auto found = index_.find({round, slab, leaf});
  if (found == index_.end()) {
    return Status(Code::kNotFound, Scope::kSite,
                  cat("the payload log has no payload ", leaf.short_hex(), " of round ", round,
                      " to slab ", slab))
        .at(folder_.string());
  }
  const Place& place = found->second;
  const LogFile& file = segments_.at(place.segment).file;
  std::vector<std::byte> payload(static_cast<size_t>(place.num_bytes));
  SKARV_TRY(file.read(place.offset, payload));
  if (payload_leaf(PayloadKind::kMerged, slab, round, payload) != leaf) {
    return Status(Code::kDataLoss, Scope::kSite,
                  cat("the disk changed the payload of round ", round, " to slab ", slab,
                      " at byte ", place.offset))
        .at(file.path().string())
        .with_hint("it is fetched from another island; check the disk");
  }
  return payload;
}

std::vector<PayloadEntry> PayloadLog::entries() const {
  std::vector<PayloadEntry> list;
  for (const auto& [key, place] : index_) {
    list.push_back({std::get<1>(key), std::get<0>(key), std::get<2>(key)});
  }
  return list;
}

Status PayloadLog::prune(int64_t retain_from) {
  const auto is_old = [&](const Segment& segment) {
    return segment.last_round > 0 && segment.last_round < retain_from;
  };
  if (is_old(segments_.rbegin()->second)) SKARV_TRY(add_segment(segments_.rbegin()->first + 1));
  bool removed = false;
  for (auto entry = segments_.begin(); entry != segments_.end();) {
    if (!is_old(entry->second)) {
      ++entry;
      continue;
    }
    const int64_t number = entry->first;
    std::erase_if(index_, [&](const auto& item) { return item.second.segment == number; });
    std::error_code error;
    fs::remove(entry->second.file.path(), error);
    if (error) {
      return io_error("cannot delete", entry->second.file.path().string(), error.value());
    }
    entry = segments_.erase(entry);
    removed = true;
  }
  return removed ? sync_directory(folder_) : Status();
}

int64_t PayloadLog::num_bytes() const {
  int64_t sum = 0;
  for (const auto& [number, segment] : segments_) sum += segment.file.size();
  return sum;
}

}  // namespace skarv
