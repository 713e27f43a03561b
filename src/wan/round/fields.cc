#include "wan/round/fields.h"

namespace skarv::wan {

namespace {
const Json kEmptyArray = Json::array();
const Json kEmptyObject = Json::object();
}  // namespace

Fields::Fields(const Json& json, std::string origin) : json_(json), origin_(std::move(origin)) {
  if (!json_.is_object()) fail("", "is not an object");
}

void Fields::fail(const char* key, const std::string& what) {
  if (!status_.ok()) return;
  status_ =
      Status(Code::kInvalidArgument, Scope::kPeer, "field \"" + std::string(key) + "\" " + what)
          .at(origin_);
}

bool Fields::has(const char* key) const { return json_.is_object() && json_.contains(key); }

const Json* Fields::find(const char* key) {
  if (!status_.ok()) return nullptr;
  auto found = json_.find(key);
  if (found == json_.end()) {
    fail(key, "is missing");
    return nullptr;
  }
  return &*found;
}

int64_t Fields::integer(const char* key, int64_t least, int64_t most) {
  const Json* value = find(key);
  if (value == nullptr) return 0;
  if (!value->is_number_integer() ||
      (value->is_number_unsigned() &&
       value->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()})) {
    fail(key, "is no integer of 64 bits");
    return 0;
  }
  const int64_t number = value->get<int64_t>();
  if (number < least || number > most) {
    fail(key, "is out of range: " + std::to_string(number));
    return 0;
  }
  return number;
}

uint64_t Fields::word(const char* key, uint64_t most) {
  const Json* value = find(key);
  if (value == nullptr) return 0;
  if (!value->is_number_integer() || (!value->is_number_unsigned() && value->get<int64_t>() < 0) ||
      value->get<uint64_t>() > most) {
    fail(key, "is no unsigned number in range");
    return 0;
  }
  return value->get<uint64_t>();
}

double Fields::number(const char* key) {
  const Json* value = find(key);
  if (value == nullptr) return 0;
  if (!value->is_number()) {
    fail(key, "is no number");
    return 0;
  }
  return value->get<double>();
}

bool Fields::flag(const char* key) {
  const Json* value = find(key);
  if (value == nullptr) return false;
  if (!value->is_boolean()) {
    fail(key, "is neither true nor false");
    return false;
  }
  return value->get<bool>();
}

std::string Fields::text(const char* key, size_t max_bytes) {
  const Json* value = find(key);
  if (value == nullptr) return "";
  if (!value->is_string() || value->get_ref<const std::string&>().size() > max_bytes) {
    fail(key, "is no text of at most " + std::to_string(max_bytes) + " bytes");
    return "";
  }
  return value->get<std::string>();
}

Digest Fields::digest(const char* key) {
  Result<Digest> parsed = Digest::parse(text(key, 64));
  if (!parsed.ok()) {
    fail(key, "is no digest");
    return {};
  }
  return *parsed;
}

const Json& Fields::array(const char* key, size_t max_size) {
  const Json* value = find(key);
  if (value == nullptr) return kEmptyArray;
  if (!value->is_array() || value->size() > max_size) {
    fail(key, "is no list of at most " + std::to_string(max_size) + " entries");
    return kEmptyArray;
  }
  return *value;
}

const Json& Fields::object(const char* key) {
  const Json* value = find(key);
  if (value == nullptr) return kEmptyObject;
  if (!value->is_object()) {
    fail(key, "is no object");
    return kEmptyObject;
  }
  return *value;
}

}  // namespace skarv::wan
