#include "wan/round/message_codec.h"

#include <cmath>

#include "wan/round/fields.h"

namespace skarv::wan {

namespace {

constexpr uint32_t kMax32 = 0xffffffffu;
constexpr int64_t kMaxSlab = kMaxSlabs - 1;
constexpr size_t kDigestBytes = 32;
constexpr size_t kFactBytes = 4 + kDigestBytes + 8 + 1;

// --- binary bodies

class Writer {
 public:
  template <typename T>
  void number(T value) {
    raw(std::as_bytes(std::span<const T>(&value, 1)));
  }
  void digest(const Digest& digest) { raw(std::as_bytes(std::span(digest.bytes))); }
  net::Buffer take() { return net::Buffer::take(std::move(bytes_)); }

 private:
  void raw(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  std::vector<std::byte> bytes_;
};

net::Buffer pack(const std::vector<Digest>& digests) {
  Writer writer;
  for (const Digest& digest : digests) writer.digest(digest);
  return writer.take();
}

net::Buffer pack(const std::vector<SlabFacts>& slabs) {
  Writer writer;
  for (const SlabFacts& facts : slabs) {
    writer.number<uint32_t>(static_cast<uint32_t>(facts.slab));
    writer.digest(facts.leaf);
    writer.number<double>(facts.sum_of_squares);
    writer.number<uint8_t>(facts.finite ? 1 : 0);
  }
  return writer.take();
}

template <typename T>
T read_number(std::span<const std::byte>& bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes = bytes.subspan(sizeof value);
  return value;
}

Status wrong_body(const std::string& from) {
  return Status(Code::kInvalidArgument, Scope::kPeer, "the body has a wrong length or content")
      .at(from);
}

Result<std::vector<Digest>> unpack_digests(std::span<const std::byte> bytes,
                                           const std::string& from) {
  if (bytes.size() % kDigestBytes != 0 || bytes.size() / kDigestBytes > kMaxSlabs) {
    return wrong_body(from);
  }
  std::vector<Digest> digests(bytes.size() / kDigestBytes);
  for (Digest& digest : digests) digest = read_number<Digest>(bytes);
  return digests;
}

Result<std::vector<SlabFacts>> unpack_facts(std::span<const std::byte> bytes,
                                            const std::string& from) {
  if (bytes.size() % kFactBytes != 0 || bytes.size() / kFactBytes > kMaxSlabs) {
    return wrong_body(from);
  }
  std::vector<SlabFacts> slabs(bytes.size() / kFactBytes);
  for (SlabFacts& facts : slabs) {
    const uint32_t slab = read_number<uint32_t>(bytes);
    facts.slab = static_cast<int>(slab);
    facts.leaf = read_number<Digest>(bytes);
    facts.sum_of_squares = read_number<double>(bytes);
    const uint8_t finite = read_number<uint8_t>(bytes);
    facts.finite = finite == 1 && std::isfinite(facts.sum_of_squares);
    if (slab > kMaxSlab || finite > 1 || facts.sum_of_squares < 0) return wrong_body(from);
  }
  return slabs;
}

// --- heads: one pair of functions a message

Json names_to_json(const std::vector<std::string>& names) {
  Json json = Json::array();
  for (const std::string& name : names) json.push_back(name);
  return json;
}

std::vector<std::string> names(Fields& fields, const char* key) {
  std::vector<std::string> result;
  for (const Json& entry : fields.array(key, kMaxIslands)) {
    if (!entry.is_string() || entry.get_ref<const std::string&>().size() > kMaxNameBytes) {
      fields.fail(key, "holds no name");
      break;
    }
    result.push_back(entry.get<std::string>());
  }
  return result;
}

Json entries_to_json(const std::vector<RecordEntry>& entries) {
  Json json = Json::array();
  for (const RecordEntry& entry : entries) json.push_back(to_json(entry));
  return json;
}

struct Encoder {
  Json& head;
  net::Buffer& body;

  void operator()(const Hello& m) {
    head["wire"] = m.wire_version;
    head["of_run"] = m.run.hex();
    head["slab_table"] = m.slab_table.hex();
    head["self_test"] = m.self_test.hex();
    head["upload"] = m.upload_version;
    head["download"] = m.download_version;
    head["arithmetic"] = m.arithmetic_version;
    head["address"] = m.address;
  }
  void operator()(const Refused& m) { head["why"] = m.why; }
  void operator()(const Promise& m) { head["promise_view"] = to_json(m.view); }
  void operator()(const Promised& m) {
    head["committed"] = m.committed;
    head["chain"] = m.chain.hex();
    if (m.accepted) head["accepted"] = to_json(*m.accepted);
    head["bytes_held"] = m.bytes_held;
    head["newest_view"] = to_json(m.newest_view);
    head["generation"] = m.generation;
  }
  void operator()(const Peers& m) {
    Json list = Json::array();
    for (const auto& [name, address] : m.addresses) {
      list.push_back({{"name", name}, {"address", address}});
    }
    head["addresses"] = std::move(list);
  }
  void operator()(const Open& m) {
    head["fragment"] = m.fragment;
    head["plan"] = m.plan;
    head["mergers"] = names_to_json(m.mergers);
  }
  void operator()(const Offer& m) {
    head["declined"] = m.declined;
    head["contribution"] = to_json(m.contribution);
    head["base_version"] = m.base_version;
    head["base_chain"] = m.base_chain.hex();
    head["base_state_root"] = m.base_state_root.hex();
  }
  void slab_bytes(int slab, int host, const Digest& leaf, const net::Buffer& bytes) {
    head["slab"] = slab;
    head["host"] = host;
    head["leaf"] = leaf.hex();
    body = bytes;
  }
  void operator()(const Contrib& m) { slab_bytes(m.slab, m.host, m.leaf, m.bytes); }
  void operator()(const Merged& m) { slab_bytes(m.slab, m.host, m.leaf, m.bytes); }
  void operator()(const Have& m) {
    head["island"] = m.island;
    body = pack(m.slabs);
  }
  void operator()(const Close& m) {
    head["delivered"] = entries_to_json(m.delivered);
    head["mergers"] = names_to_json(m.mergers);
  }
  void operator()(const MergedFacts& m) {
    head["inputs"] = m.inputs.hex();
    body = pack(m.slabs);
  }
  void operator()(const Accept& m) {
    head["record"] = to_json(m.record);
    body = pack(m.leaves);
  }
  void operator()(const Accepted& m) { head["record"] = m.record.hex(); }
  void operator()(const Commit& m) {
    head["record"] = to_json(m.record);
    head["retain_from"] = m.retain_from;
  }
  void operator()(const Applied& m) {
    head["chain"] = m.chain.hex();
    head["state_root"] = m.state_root.hex();
  }
  void operator()(const Fenced& m) {
    head["promised_epoch"] = m.promised.epoch;
    head["promised_view"] = m.promised.view;
    head["state_differs"] = m.state_differs;
    head["why"] = m.why;
  }
  void operator()(const Fetch& m) {
    head["kind"] = static_cast<int>(m.kind);
    head["slab"] = m.slab;
    head["digest"] = m.digest.hex();
  }
  void operator()(const Fetched& m) {
    head["kind"] = static_cast<int>(m.kind);
    head["absent"] = m.absent;
    head["version"] = m.version;
    head["applied"] = m.applied;
    slab_bytes(m.slab, 0, m.leaf, m.bytes);
  }
  void operator()(const IslandBeat& m) {
    head["applied"] = m.applied;
    head["chain"] = m.chain.hex();
    head["state_root"] = m.state_root.hex();
    head["generation"] = m.generation;
    head["life"] = m.life;
    head["learner"] = m.learner;
    head["open_attempt"] = m.open_attempt;
    head["closed_attempt"] = m.closed_attempt;
    head["offered"] = m.offered;
    head["accepted"] = m.accepted.hex();
    head["step"] = m.step;
    head["checkpoint"] = m.checkpoint;
    head["missing_from"] = names_to_json(m.missing_from);
  }
  void operator()(const CoordinatorBeat& m) {
    head["committed"] = m.committed;
    head["chain"] = m.chain.hex();
    head["settled"] = m.settled;
    head["state_root"] = m.state_root.hex();
    head["awaits"] = m.awaits;
    head["awaited"] = names_to_json(m.awaited);
    head["doubtful"] = names_to_json(m.doubtful);
  }
  void operator()(const LeaseRequest& m) {
    head["id"] = m.id;
    head["generation"] = m.generation;
    head["count"] = m.count;
  }
  void operator()(const Lease& m) {
    head["id"] = m.id;
    head["generation"] = m.generation;
    head["ranges"] = to_json(m.ranges);
  }
};

struct Decoder {
  Fields& fields;
  const net::Buffer& body;
  const std::string& from;

  int slab() { return static_cast<int>(fields.integer("slab", 0, kMaxSlab)); }

  Status operator()(Hello& m) {
    m.wire_version = static_cast<uint32_t>(fields.word("wire", kMax32));
    m.run = fields.digest("of_run");
    m.slab_table = fields.digest("slab_table");
    m.self_test = fields.digest("self_test");
    m.upload_version = static_cast<uint32_t>(fields.word("upload", kMax32));
    m.download_version = static_cast<uint32_t>(fields.word("download", kMax32));
    m.arithmetic_version = static_cast<uint32_t>(fields.word("arithmetic", kMax32));
    m.address = fields.text("address", kMaxNameBytes);
    return {};
  }
  Status operator()(Refused& m) {
    m.why = fields.text("why", 4096);
    return {};
  }
  Status operator()(Promise& m) {
    SKARV_ASSIGN(m.view, view_from_json(fields.object("promise_view"), from));
    return {};
  }
  Status operator()(Promised& m) {
    m.committed = fields.integer("committed", 0);
    m.chain = fields.digest("chain");
    if (fields.has("accepted")) {
      SKARV_ASSIGN(m.accepted, record_from_json(fields.object("accepted"), from));
    }
    m.bytes_held = fields.flag("bytes_held");
    SKARV_ASSIGN(m.newest_view, view_from_json(fields.object("newest_view"), from));
    m.generation = fields.integer("generation", 0);
    return {};
  }
  Status operator()(Peers& m) {
    for (const Json& entry : fields.array("addresses", kMaxIslands)) {
      Fields inner(entry, from);
      std::string name = inner.text("name", kMaxNameBytes);
      m.addresses.emplace_back(std::move(name), inner.text("address", kMaxNameBytes));
      SKARV_TRY(inner.status());
    }
    return {};
  }
  Status operator()(Open& m) {
    m.fragment = static_cast<int>(fields.integer("fragment", 0, kMaxSlab));
    m.plan = fields.integer("plan", 0);
    m.mergers = names(fields, "mergers");
    return {};
  }
  Status operator()(Offer& m) {
    m.declined = fields.flag("declined");
    SKARV_ASSIGN(m.contribution, contribution_from_json(fields.object("contribution"), from));
    m.base_version = fields.integer("base_version", 0);
    m.base_chain = fields.digest("base_chain");
    m.base_state_root = fields.digest("base_state_root");
    return {};
  }
  template <typename SlabBytes>
  Status slab_bytes(SlabBytes& m) {
    m.slab = slab();
    m.host = static_cast<int>(fields.integer("host", 0, 1 << 20));
    m.leaf = fields.digest("leaf");
    m.bytes = body;
    return {};
  }
  Status operator()(Contrib& m) { return slab_bytes(m); }
  Status operator()(Merged& m) { return slab_bytes(m); }
  Status operator()(Have& m) {
    m.island = fields.text("island", kMaxNameBytes);
    SKARV_ASSIGN(m.slabs, unpack_facts(body.span(), from));
    return {};
  }
  Status operator()(Close& m) {
    for (const Json& entry : fields.array("delivered", kMaxIslands)) {
      SKARV_ASSIGN(RecordEntry parsed, entry_from_json(entry, from));
      m.delivered.push_back(std::move(parsed));
    }
    m.mergers = names(fields, "mergers");
    return {};
  }
  Status operator()(MergedFacts& m) {
    m.inputs = fields.digest("inputs");
    SKARV_ASSIGN(m.slabs, unpack_facts(body.span(), from));
    return {};
  }
  Status operator()(Accept& m) {
    SKARV_ASSIGN(m.record, record_from_json(fields.object("record"), from));
    SKARV_ASSIGN(m.leaves, unpack_digests(body.span(), from));
    return {};
  }
  Status operator()(Accepted& m) {
    m.record = fields.digest("record");
    return {};
  }
  Status operator()(Commit& m) {
    SKARV_ASSIGN(m.record, record_from_json(fields.object("record"), from));
    m.retain_from = fields.integer("retain_from", 0);
    return {};
  }
  Status operator()(Applied& m) {
    m.chain = fields.digest("chain");
    m.state_root = fields.digest("state_root");
    return {};
  }
  Status operator()(Fenced& m) {
    m.promised = {fields.integer("promised_epoch", 0), fields.integer("promised_view", 0)};
    m.state_differs = fields.flag("state_differs");
    m.why = fields.text("why", 4096);
    return {};
  }
  Status operator()(Fetch& m) {
    m.kind = static_cast<FetchKind>(fields.integer("kind", 1, 4));
    m.slab = slab();
    m.digest = fields.digest("digest");
    return {};
  }
  Status operator()(Fetched& m) {
    m.kind = static_cast<FetchKind>(fields.integer("kind", 1, 4));
    m.slab = slab();
    m.absent = fields.flag("absent");
    m.leaf = fields.digest("leaf");
    m.version = fields.integer("version", 0);
    m.applied = fields.integer("applied", 0);
    m.bytes = body;
    return {};
  }
  Status operator()(IslandBeat& m) {
    m.applied = fields.integer("applied", 0);
    m.chain = fields.digest("chain");
    m.state_root = fields.digest("state_root");
    m.generation = fields.integer("generation", 0);
    m.life = fields.integer("life", 0);
    m.learner = fields.flag("learner");
    m.open_attempt = fields.integer("open_attempt", 0);
    m.closed_attempt = fields.integer("closed_attempt", 0);
    m.offered = fields.flag("offered");
    m.accepted = fields.digest("accepted");
    m.step = fields.integer("step", 0);
    m.checkpoint = fields.integer("checkpoint", 0);
    m.missing_from = names(fields, "missing_from");
    return {};
  }
  Status operator()(CoordinatorBeat& m) {
    m.committed = fields.integer("committed", 0);
    m.chain = fields.digest("chain");
    m.settled = fields.integer("settled", -1);
    m.state_root = fields.digest("state_root");
    m.awaits = static_cast<uint32_t>(fields.word("awaits", kMax32));
    m.awaited = names(fields, "awaited");
    m.doubtful = names(fields, "doubtful");
    return {};
  }
  Status operator()(LeaseRequest& m) {
    m.id = fields.word("id");
    m.generation = fields.integer("generation", 0);
    m.count = fields.word("count", uint64_t{1} << 40);
    return {};
  }
  Status operator()(Lease& m) {
    m.id = fields.word("id");
    m.generation = fields.integer("generation", 0);
    SKARV_ASSIGN(m.ranges, ranges_from_json(fields.array("ranges", kMaxRanges), from));
    return {};
  }
};

// A body of the alternative with this index.
template <size_t... I>
Body body_of_type(size_t type, std::index_sequence<I...>) {
  Body body;
  ((type == I ? static_cast<void>(body.emplace<I>()) : static_cast<void>(0)), ...);
  return body;
}

// The type on the wire is the position in Body, plus one.
constexpr const char* kNames[] = {"HELLO",   "REFUSED",  "PROMISE", "PROMISED", "PEERS",  "OPEN",
                                  "OFFER",   "CONTRIB",  "HAVE",    "CLOSE",    "MERGED", "MERGED",
                                  "ACCEPT",  "ACCEPTED", "COMMIT",  "APPLIED",  "FENCED", "FETCH",
                                  "FETCHED", "BEAT",     "BEAT",    "LEASE",    "LEASED"};
static_assert(std::size(kNames) == std::variant_size_v<Body>);

}  // namespace

const char* name_of(const Body& body) { return kNames[body.index()]; }

const char* name_of(FetchKind kind) {
  switch (kind) {
    case FetchKind::kContribution:
      return "contribution";
    case FetchKind::kPayload:
      return "merged payload";
    case FetchKind::kLeaves:
      return "leaves";
    case FetchKind::kState:
      return "outer state";
  }
  return "unknown";
}

net::Message encode(const Message& message) {
  net::Message encoded;
  encoded.type = static_cast<uint32_t>(message.body.index()) + 1;
  Json head = {{"run", message.fence.run},
               {"epoch", message.fence.term.epoch},
               {"view", message.fence.term.view},
               {"round", message.fence.round},
               {"attempt", message.fence.attempt}};
  std::visit(Encoder{head, encoded.body}, message.body);
  encoded.head = head.dump(-1, ' ', false, Json::error_handler_t::replace);
  return encoded;
}

Result<Message> decode(const net::Message& encoded, const std::string& from) {
  if (encoded.type == 0 || encoded.type > std::variant_size_v<Body>) {
    return Status(Code::kInvalidArgument, Scope::kPeer,
                  "unknown message type " + std::to_string(encoded.type))
        .at(from);
  }
  SKARV_ASSIGN(const Json head, parse_json(encoded.head, from));
  Fields fields(head, from);
  Message message;
  message.fence.run = fields.word("run");
  message.fence.term = {fields.integer("epoch", 0), fields.integer("view", 0)};
  message.fence.round = fields.integer("round", 0);
  message.fence.attempt = fields.integer("attempt", 0);
  SKARV_TRY(fields.status());
  message.body =
      body_of_type(encoded.type - 1, std::make_index_sequence<std::variant_size_v<Body>>());
  Status status = std::visit(Decoder{fields, encoded.body, from}, message.body);
  if (!fields.status().ok()) status = fields.status();
  SKARV_TRY(status.wrap(name_of(message.body)));
  return message;
}

net::Lane lane_of(const Message& message) {
  const bool bulk = std::holds_alternative<Contrib>(message.body) ||
                    std::holds_alternative<Merged>(message.body) ||
                    std::holds_alternative<Fetched>(message.body);
  return bulk ? net::Lane::kBulk : net::Lane::kControl;
}

}  // namespace skarv::wan
