// One strict reader for the files people write (TOML) and those programs write (JSON). A document
// is a JSON value that knows where each member stood; `Fields` reads the members of one object, and
// what nobody asked for is an error with its place and the nearest name.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "spec/problem.h"
#include "spec/units.h"

namespace skarv {

// A parsed file. Collects the first error; all Fields of it report here. One thread.
class Document {
 public:
  static Result<Document> from_toml(const std::string& text, const std::string& origin);
  static Document from_json(Json root, const std::string& origin);

  const Json& root() const { return root_; }
  const std::string& origin() const { return origin_; }
  // "run.toml:12", or "plan.json: islands[0].name". A path that is absent gives its nearest parent.
  std::string place(const std::string& path) const;

  void fail(const std::string& path, std::string message, std::string hint = "");
  void fail(const Problem& problem) { fail(problem.path, problem.message, problem.hint); }
  void fail(const Status& status) {
    if (status_.ok()) status_ = status;
  }
  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }

 private:
  Json root_;
  std::string origin_;
  bool has_lines_ = false;
  std::map<std::string, int> lines_;
  Status status_;
};

// Reads one object. A getter whose key is absent leaves the value as it is (the default of the
// struct); one whose member is wrong records the error and leaves the value too. Call finish()
// last.
class Fields {
 public:
  // `value` belongs to `document`; both outlive it. Not an object: an error, and nothing is found.
  Fields(Document& document, const Json& value, std::string path);
  static Fields of(Document& document) { return Fields(document, document.root(), ""); }

  bool has(const std::string& key) const { return value_->contains(key); }
  // Each of the keys has to be there; finish() says which is not.
  void require(const std::vector<std::string>& keys);

  template <typename Integer>
  void integer(const std::string& key, Integer& out, int64_t least,
               int64_t most = std::numeric_limits<int32_t>::max()) {
    if (const auto value = read_integer(key, least, most)) out = static_cast<Integer>(*value);
  }
  void word(const std::string& key, uint64_t& out);  // any unsigned 64-bit number
  void number(const std::string& key, double& out, double least, double most);
  void boolean(const std::string& key, bool& out);
  void text(const std::string& key, std::string& out);
  // A plain number in base units or text with a unit; not negative.
  void quantity(const std::string& key, double& out, Quantity kind);
  void bytes(const std::string& key, int64_t& out);
  template <typename Enum>
  void choice(const std::string& key, Enum& out,
              const std::vector<std::pair<std::string, Enum>>& names) {
    const Json* value = find(key);
    if (value == nullptr) return;
    if (value->is_string()) {
      const std::string& chosen = value->get_ref<const std::string&>();
      for (const auto& [name, known] : names) {
        if (name == chosen) {
          out = known;
          return;
        }
      }
    }
    std::vector<std::string> known;
    for (const auto& [name, unused] : names) known.push_back(name);
    refuse_choice(key, *value, known);
  }

  // The member object; nothing when absent.
  std::optional<Fields> object(const std::string& key);
  // The members of an array of objects (empty when absent).
  std::vector<Fields> objects(const std::string& key);
  std::vector<std::string> texts(const std::string& key);
  std::vector<int64_t> integers(const std::string& key, int64_t least, int64_t most);
  // The keys of a free-form object, in order; reading one of them marks it as usual.
  std::vector<std::string> keys() const;

  void fail(const std::string& key, std::string message, std::string hint = "");
  std::string path_of(const std::string& key) const;
  Document& document() { return *document_; }
  // Refuses keys that nothing asked for, then required ones that are missing.
  void finish();

 private:
  const Json* find(const std::string& key);
  std::optional<int64_t> read_integer(const std::string& key, int64_t least, int64_t most);
  void refuse_choice(const std::string& key, const Json& value,
                     const std::vector<std::string>& names);

  Document* document_;
  const Json* value_;
  std::string path_;
  std::vector<std::string> asked_;  // few: searched in order
  std::vector<std::string> required_;
};

}  // namespace skarv
