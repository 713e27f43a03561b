#include "spec/schedule.h"

#include <array>

#include "base/text.h"
#include "spec/document.h"

namespace skarv {
namespace {

const std::vector<std::pair<std::string, ActionKind>> kKinds = {
    {"receive-activation", ActionKind::kReceiveActivation},
    {"forward", ActionKind::kForward},
    {"send-activation", ActionKind::kSendActivation},
    {"receive-gradient", ActionKind::kReceiveGradient},
    {"backward", ActionKind::kBackward},
    {"backward-input", ActionKind::kBackwardInput},
    {"backward-weight", ActionKind::kBackwardWeight},
    {"send-gradient", ActionKind::kSendGradient},
    {"reduce", ActionKind::kReduce},
    {"clip", ActionKind::kClip},
    {"update", ActionKind::kUpdate},
    {"gather", ActionKind::kGather},
};

struct Member {
  const char* name;
  int Action::*value;
};
constexpr std::array<Member, 5> kMembers = {{{"pipeline", &Action::pipeline},
                                             {"stage", &Action::stage},
                                             {"microbatch", &Action::microbatch},
                                             {"group", &Action::group},
                                             {"peer", &Action::peer}}};

Action read_action(Fields& fields) {
  Action action;
  fields.choice("kind", action.kind, kKinds);
  for (const auto& [name, value] : kMembers) fields.integer(name, action.*value, 0);
  fields.integer("bytes", action.bytes, 0, std::numeric_limits<int64_t>::max());
  fields.require({"kind"});
  fields.finish();
  return action;
}

}  // namespace

const char* name_of(ActionKind kind) {
  for (const auto& [name, known] : kKinds) {
    if (known == kind) return name.c_str();
  }
  return "unknown";
}

Result<ActionKind> action_kind_from(std::string_view name) {
  std::vector<std::string> names;
  for (const auto& [known, kind] : kKinds) {
    if (known == name) return kind;
    names.push_back(known);
  }
  return config_error(cat("no action is named \"", name, "\""))
      .with_hint("actions are " + join(names, ", "));
}

std::string to_string(const Action& action) {
  std::string text = name_of(action.kind);
  for (const auto& [name, value] : kMembers) {
    if (action.*value >= 0) text += cat(" ", name, " ", action.*value);
  }
  return text;
}

Json to_json(const Schedule& schedule) {
  Json lists = Json::array();
  for (const std::vector<Action>& list : schedule.actions) {
    Json actions = Json::array();
    for (const Action& action : list) {
      Json json = {{"kind", name_of(action.kind)}};
      for (const auto& [name, value] : kMembers) {
        if (action.*value >= 0) json[name] = action.*value;
      }
      if (action.bytes > 0) json["bytes"] = action.bytes;
      actions.push_back(std::move(json));
    }
    lists.push_back({{"actions", std::move(actions)}});
  }
  for (size_t rank = 0; rank < schedule.devices.size() && rank < lists.size(); ++rank) {
    lists[rank]["device"] = schedule.devices[rank];
  }
  return {{"ranks", std::move(lists)}};
}

Result<Schedule> schedule_from_json(const Json& json, const std::string& origin) {
  Document document = Document::from_json(json, origin);
  Fields fields = Fields::of(document);
  Schedule schedule;
  for (Fields& rank : fields.objects("ranks")) {
    rank.text("device", schedule.devices.emplace_back());
    std::vector<Action>& list = schedule.actions.emplace_back();
    for (Fields& action : rank.objects("actions")) list.push_back(read_action(action));
    rank.require({"device", "actions"});
    rank.finish();
  }
  fields.require({"ranks"});
  fields.finish();
  if (!document.ok()) return document.status();
  return schedule;
}

Digest digest_of(const Schedule& schedule) {
  Hasher hasher;
  for (const std::string& device : schedule.devices) {
    hasher.add_number<uint32_t>(device.size()).add(device);
  }
  for (const std::vector<Action>& list : schedule.actions) {
    hasher.add_number<uint64_t>(list.size());
    for (const Action& action : list) {
      hasher.add_number(static_cast<int32_t>(action.kind));
      for (const auto& [name, value] : kMembers) hasher.add_number<int32_t>(action.*value);
      hasher.add_number(action.bytes);
    }
  }
  return hasher.finish();
}

}  // namespace skarv
