#include "handoff/messages.h"

#include <array>
#include <type_traits>

#include "base/text.h"

namespace skarv::handoff {

namespace {

// One list of fields per message serves writing and reading.
template <typename V, typename M>
void visit_fields(V& v, M& m) {
  using T = std::remove_const_t<M>;
  if constexpr (std::is_same_v<T, Hello>) {
    v("version", m.version), v("device", m.device), v("session", m.session), v("pid", m.pid),
        v("torch", m.torch);
  } else if constexpr (std::is_same_v<T, Assign>) {
    v("run", m.run), v("plan", m.plan), v("profile", m.profile), v("schedule", m.schedule);
    v("island", m.island), v("rank", m.rank), v("chip", m.chip), v("maker", m.maker);
    v("plugin", m.plugin), v("ordinal", m.ordinal), v("pace", m.pace),
        v("num_threads", m.num_threads);
    v("detection_seconds", m.detection_seconds), v("trace", m.trace);
  } else if constexpr (std::is_same_v<T, Listening>) {
    v("address", m.address);
  } else if constexpr (std::is_same_v<T, Connect>) {
    v("incarnation", m.incarnation), v("addresses", m.addresses), v("makers", m.makers);
    v("store", m.store);
  } else if constexpr (std::is_same_v<T, Ready>) {
    v("incarnation", m.incarnation), v("base_bytes", m.base_bytes);
  } else if constexpr (std::is_same_v<T, Load>) {
    v("from_inner", m.from_inner), v("parity", m.parity);
    v("moments_parity", m.moments_parity), v("step", m.step);
  } else if constexpr (std::is_same_v<T, Loaded>) {
    v("step", m.step);
  } else if constexpr (std::is_same_v<T, ApplyOrder>) {
    v("round", m.round), v("fragment", m.fragment), v("verdict", m.verdict);
    v("alpha", m.alpha);
  } else if constexpr (std::is_same_v<T, SnapshotOrder>) {
    v("round", m.round), v("fragment", m.fragment);
  } else if constexpr (std::is_same_v<T, Step>) {
    v("step", m.step), v("samples", m.samples), v("apply", m.apply);
    v("snapshot", m.snapshot), v("inner_snapshot", m.inner_snapshot);
    v("exchange", m.exchange);
  } else if constexpr (std::is_same_v<T, Apply>) {
    v("order", m.order);
  } else if constexpr (std::is_same_v<T, StepDone>) {
    v("step", m.step), v("loss_sum", m.loss_sum), v("tokens", m.tokens);
    v("work_tokens", m.work_tokens), v("gradient_norm", m.gradient_norm);
    v("skipped", m.skipped), v("seconds", m.seconds), v("busy_seconds", m.busy_seconds);
    v("wait_seconds", m.wait_seconds), v("missed_slots", m.missed_slots);
    v("bytes_sent", m.bytes_sent), v("peak_bytes", m.peak_bytes);
  } else if constexpr (std::is_same_v<T, SnapshotDone>) {
    v("round", m.round), v("step", m.step), v("squared_norm", m.squared_norm);
  } else if constexpr (std::is_same_v<T, InnerSnapshotDone>) {
    v("step", m.step), v("parity", m.parity);
  } else if constexpr (std::is_same_v<T, Applied>) {
    v("round", m.round), v("step", m.step);
  } else if constexpr (std::is_same_v<T, Heartbeat>) {
    v("progress", m.progress), v("doing", m.doing);
  } else if constexpr (std::is_same_v<T, Failed>) {
    v("message", m.message), v("incarnation", m.incarnation);
    v("peer_fault", m.peer_fault);
  } else {
    static_assert(std::is_same_v<T, Stop>);
  }
}

constexpr std::array kVerdictNames = {"included", "excluded", "reset"};

struct Writer {
  Json json = Json::object();

  template <typename T>
  void operator()(const char* name, const T& value) {
    json[name] = encode(value);
  }
  template <typename T>
  static Json encode(const T& value) {
    return value;
  }
  static Json encode(double value) {
    // JSON has no NaN or infinity; a loss that is not finite must still be told.
    if (value != value) return "nan";
    if (value - value != 0) return value > 0 ? "inf" : "-inf";
    return value;
  }
  static Json encode(Verdict value) { return kVerdictNames[static_cast<size_t>(value)]; }
  static Json encode(const ApplyOrder& value) { return nested(value); }
  static Json encode(const SnapshotOrder& value) { return nested(value); }
  template <typename T>
  static Json encode(const std::optional<T>& value) {
    return value ? encode(*value) : Json();
  }
  template <typename T>
  static Json nested(const T& value) {
    Writer writer;
    visit_fields(writer, value);
    return writer.json;
  }
};

struct Reader {
  const Json& json;
  Status status;

  template <typename T>
  void operator()(const char* name, T& value) {
    if (!status.ok()) return;
    const auto found = json.find(name);
    if (found == json.end()) {
      status = config_error(cat("field '", name, "' is missing"));
      return;
    }
    try {
      decode(*found, value);
    } catch (const Json::exception& error) {
      status = config_error(cat("field '", name, "': ", error.what()));
    }
  }
  template <typename T>
  void decode(const Json& from, T& value) {
    from.get_to(value);
  }
  void decode(const Json& from, Json& value) { value = from; }
  void decode(const Json& from, double& value) {
    if (from == "nan") {
      value = __builtin_nan("");
    } else if (from == "inf") {
      value = __builtin_inf();
    } else if (from == "-inf") {
      value = -__builtin_inf();
    } else {
      from.get_to(value);
    }
  }
  void decode(const Json& from, Verdict& value) {
    for (size_t i = 0; i < kVerdictNames.size(); ++i) {
      if (from == kVerdictNames[i]) {
        value = static_cast<Verdict>(i);
        return;
      }
    }
    status = config_error("unknown verdict " + from.dump());
  }
  void decode(const Json& from, ApplyOrder& value) { nested(from, value); }
  void decode(const Json& from, SnapshotOrder& value) { nested(from, value); }
  template <typename T>
  void decode(const Json& from, std::optional<T>& value) {
    if (from.is_null()) {
      value.reset();
    } else {
      decode(from, value.emplace());
    }
  }
  template <typename T>
  void nested(const Json& from, T& value) {
    if (!from.is_object()) {
      status = config_error("expected an object, found " + std::string(from.type_name()));
      return;
    }
    Reader reader{from, {}};
    visit_fields(reader, value);
    if (!reader.status.ok()) status = reader.status;
  }
};

constexpr std::array kNames = {"hello",   "assign",    "listening",     "connect",
                               "ready",   "load",      "loaded",        "step",
                               "apply",   "step_done", "snapshot_done", "inner_snapshot_done",
                               "applied", "heartbeat", "failed",        "stop"};
static_assert(kNames.size() == std::variant_size_v<Message>);

template <size_t kIndex = 0>
Result<Message> read_as(size_t index, const Json& json) {
  if constexpr (kIndex < std::variant_size_v<Message>) {
    if (index != kIndex) return read_as<kIndex + 1>(index, json);
    std::variant_alternative_t<kIndex, Message> value;
    Reader reader{json, {}};
    visit_fields(reader, value);
    if (!reader.status.ok()) return reader.status.wrap(cat("message '", kNames[kIndex], "'"));
    return Message(std::move(value));
  }
  return bug("message index out of range");
}

}  // namespace

const char* name_of(const Message& message) { return kNames[message.index()]; }

Json to_json(const Message& message) {
  Writer writer;
  writer("kind", std::string(name_of(message)));
  std::visit([&](const auto& value) { visit_fields(writer, value); }, message);
  return writer.json;
}

Result<Message> message_from_json(const Json& json) {
  const auto kind = json.is_object() ? json.find("kind") : json.end();
  if (kind == json.end()) return config_error("a message without 'kind'");
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (*kind == kNames[i]) {
      SKARV_ASSIGN(Message message, read_as<0>(i, json));
      if (const Hello* hello = std::get_if<Hello>(&message); hello && hello->version != kVersion) {
        return Status(Code::kFailedPrecondition, Scope::kConfig,
                      cat("worker speaks hand-off version ", hello->version, ", agent ", kVersion))
            .with_hint("build skarv and skarv-worker from the same source");
      }
      return message;
    }
  }
  return config_error("unknown message kind " + kind->dump());
}

}  // namespace skarv::handoff
