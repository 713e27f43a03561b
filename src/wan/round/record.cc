#include "wan/round/record.h"

#include "wan/round/fields.h"

namespace skarv::wan {

namespace {

constexpr uint32_t kMaxBits = 0xffffffffu;
using arithmetic::AdamScalars;
using arithmetic::Bits;
using arithmetic::NesterovScalars;

Json scalars_to_json(const OuterScalars& scalars) {
  if (const auto* nesterov = std::get_if<NesterovScalars>(&scalars)) {
    return {{"kind", "nesterov"}, {"bits", {nesterov->learning_rate, nesterov->momentum}}};
  }
  const auto& adam = std::get<AdamScalars>(scalars);
  return {{"kind", "adam"},
          {"bits",
           {adam.learning_rate, adam.beta1, adam.rest1, adam.beta2, adam.rest2, adam.epsilon,
            adam.weight_decay, adam.clip, adam.correction1, adam.root_correction2}}};
}

Result<OuterScalars> scalars_from_json(const Json& json, const std::string& origin) {
  Fields fields(json, origin);
  const std::string kind = fields.text("kind", 16);
  std::vector<Bits> bits;
  for (const Json& value : fields.array("bits", 10)) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > kMaxBits) {
      fields.fail("bits", "holds no bit pattern of 32 bits");
      break;
    }
    bits.push_back(value.get<Bits>());
  }
  SKARV_TRY(fields.status());
  if (kind == "nesterov" && bits.size() == 2)
    return OuterScalars(NesterovScalars{bits[0], bits[1]});
  if (kind == "adam" && bits.size() == 10) {
    return OuterScalars(AdamScalars{bits[0], bits[1], bits[2], bits[3], bits[4], bits[5], bits[6],
                                    bits[7], bits[8], bits[9]});
  }
  return Status(Code::kInvalidArgument, Scope::kPeer, "unknown outer step \"" + kind + "\"")
      .at(origin);
}

}  // namespace

const RecordEntry* Record::find(const std::string& island) const {
  for (const RecordEntry& entry : delivered) {
    if (entry.contribution.island == island) return &entry;
  }
  return nullptr;
}

Json to_json(const std::vector<SampleRange>& ranges) {
  Json json = Json::array();
  for (const SampleRange& range : ranges) json.push_back({range.begin, range.end});
  return json;
}

Result<std::vector<SampleRange>> ranges_from_json(const Json& json, const std::string& origin) {
  std::vector<SampleRange> ranges;
  for (const Json& entry : json) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_number_unsigned() ||
        !entry[1].is_number_unsigned()) {
      return Status(Code::kInvalidArgument, Scope::kPeer, "a sample range is no pair of numbers")
          .at(origin);
    }
    const SampleRange range{entry[0].get<uint64_t>(), entry[1].get<uint64_t>()};
    const uint64_t least = ranges.empty() ? 0 : ranges.back().end;
    if (range.begin < least || range.end <= range.begin) {
      return Status(Code::kInvalidArgument, Scope::kPeer,
                    "sample ranges are empty, out of order or overlap")
          .at(origin);
    }
    ranges.push_back(range);
  }
  return ranges;
}

Json to_json(const Contribution& contribution) {
  return {{"island", contribution.island},   {"generation", contribution.generation},
          {"root", contribution.root.hex()}, {"tokens", contribution.tokens},
          {"steps", contribution.steps},     {"samples", to_json(contribution.samples)}};
}

Result<Contribution> contribution_from_json(const Json& json, const std::string& origin) {
  Fields fields(json, origin);
  Contribution contribution;
  contribution.island = fields.text("island", kMaxNameBytes);
  contribution.generation = fields.integer("generation", 0);
  contribution.root = fields.digest("root");
  contribution.tokens = fields.integer("tokens", 0);
  contribution.steps = fields.integer("steps", 0);
  SKARV_ASSIGN(contribution.samples, ranges_from_json(fields.array("samples", kMaxRanges), origin));
  SKARV_TRY(fields.status());
  return contribution;
}

Json to_json(const RecordEntry& entry) {
  return {{"contribution", to_json(entry.contribution)},
          {"weight", entry.weight},
          {"verdict", static_cast<int>(entry.verdict)}};
}

Result<RecordEntry> entry_from_json(const Json& json, const std::string& origin) {
  Fields fields(json, origin);
  RecordEntry entry;
  SKARV_ASSIGN(entry.contribution, contribution_from_json(fields.object("contribution"), origin));
  entry.weight = static_cast<Bits>(fields.word("weight", kMaxBits));
  entry.verdict = static_cast<Verdict>(fields.integer("verdict", 0, 2));
  SKARV_TRY(fields.status());
  return entry;
}

Json to_json(const Record& record) {
  Json delivered = Json::array();
  for (const RecordEntry& entry : record.delivered) {
    delivered.push_back(to_json(entry));
  }
  return {{"round", record.round},
          {"epoch", record.term.epoch},
          {"view", record.term.view},
          {"attempt", record.attempt},
          {"plan", record.plan},
          {"fragment", record.fragment},
          {"delivered", std::move(delivered)},
          {"scalars", scalars_to_json(record.scalars)},
          {"alpha", record.alpha},
          {"upload", record.upload_version},
          {"download", record.download_version},
          {"arithmetic", record.arithmetic_version},
          {"payload_root", record.payload_root.hex()},
          {"base_state_root", record.base_state_root.hex()},
          {"previous_chain", record.previous_chain.hex()}};
}

Result<Record> record_from_json(const Json& json, const std::string& origin) {
  Fields fields(json, origin);
  Record record;
  record.round = fields.integer("round", 0);
  record.term = {fields.integer("epoch", 0), fields.integer("view", 0)};
  record.attempt = fields.integer("attempt", 0);
  record.plan = fields.integer("plan", 0);
  record.fragment = static_cast<int>(fields.integer("fragment", 0, kMaxSlabs));
  for (const Json& entry : fields.array("delivered", kMaxIslands)) {
    SKARV_ASSIGN(RecordEntry delivered, entry_from_json(entry, origin));
    record.delivered.push_back(std::move(delivered));
  }
  SKARV_ASSIGN(record.scalars, scalars_from_json(fields.object("scalars"), origin));
  record.alpha = static_cast<Bits>(fields.word("alpha", kMaxBits));
  record.upload_version = static_cast<uint32_t>(fields.word("upload", kMaxBits));
  record.download_version = static_cast<uint32_t>(fields.word("download", kMaxBits));
  record.arithmetic_version = static_cast<uint32_t>(fields.word("arithmetic", kMaxBits));
  record.payload_root = fields.digest("payload_root");
  record.base_state_root = fields.digest("base_state_root");
  record.previous_chain = fields.digest("previous_chain");
  SKARV_TRY(fields.status());
  return record;
}

Digest digest_of(const Record& record) {
  return digest_of(std::string_view(to_json(record).dump()));
}

Digest chain_after(const Record& record) {
  const Digest digest = digest_of(record);
  return Hasher()
      .add("skarv chain")
      .add(std::as_bytes(std::span(record.previous_chain.bytes)))
      .add(std::as_bytes(std::span(digest.bytes)))
      .finish();
}

}  // namespace skarv::wan
