#include "data/meme_line.hpp"

#include <sslmeme/core/error.hpp>

#include <algorithm>
#include <limits>
#include <vector>

#include <fmt/format.h>
#include <utf8proc.h>
#include <nlohmann/json.hpp>

namespace sslmeme::detail {

namespace {

using nlohmann::json;

constexpr std::size_t max_depth = 32;

/// Reads the four keys of a record straight into it; anything else may stand beside them, but no key twice in one
/// object.
class RecordReader final : public nlohmann::json_sax<json> {
 public:
  bool null() override { return wrong("null"); }
  bool boolean(bool) override { return wrong("a boolean"); }
  bool number_float(double, const std::string& text) override { return wrong(fmt::format("the number {}", text)); }
  bool binary(json::binary_t&) override { return wrong("binary"); }

  bool number_integer(std::int64_t value) override {  // called for negative numbers only
    return wrong(fmt::format("the number {}", value));
  }
  bool number_unsigned(std::uint64_t value) override {
    if (!at_field()) return outside("a number");
    constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
    if (key_ == "id" && value <= largest)
      record_.id = static_cast<std::int64_t>(value);
    else if (key_ == "label" && value <= 1)
      record_.label = static_cast<std::int64_t>(value);
    else
      return wrong(fmt::format("the number {}", value));
    return true;
  }
  bool string(std::string& value) override {
    if (!at_field()) return outside("a string");
    if (key_ == "img")
      record_.picture = std::move(value);
    else if (key_ == "text")
      record_.text = std::move(value);
    else
      return wrong("a string");
    return true;
  }

  bool start_object(std::size_t) override { return open("an object"); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open("an array"); }
  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    auto& seen = keys_.back();
    if (std::ranges::find(seen, name) != seen.end()) throw DataError(fmt::format("the key \"{}\" stands twice", name));
    seen.push_back(name);
    if (keys_.size() == 1) key_ = name;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const json::exception& error) override {
    const std::string_view text =
        error.what();  // "[json.exception.parse_error.101] parse error at line 1, column 5: …"
    const auto column = text.find("column ");
    throw DataError(fmt::format("not JSON: {}", column == std::string_view::npos ? text : text.substr(column)));
  }

  MemeRecord finish() {
    for (const auto* name : {"id", "img", "text"}) {
      if (std::ranges::find(fields_, name) == fields_.end())
        throw DataError(fmt::format("the key \"{}\" is missing", name));
    }
    return std::move(record_);
  }

 private:
  bool at_field() const {
    return keys_.size() == 1 && (key_ == "id" || key_ == "img" || key_ == "label" || key_ == "text");
  }
  // A value outside of the four fields is ignored, but the line itself must be an object.
  bool outside(std::string_view what) const {
    if (keys_.empty()) throw DataError(fmt::format("{} instead of an object {{\"id\": …, \"img\": …, …}}", what));
    return true;
  }
  bool wrong(std::string_view what) const {
    if (!at_field()) return outside(what);
    const auto* expected = key_ == "id"      ? "must be a whole number from 0"
                           : key_ == "label" ? "must be 0 or 1, or be left out"
                                             : "must be a string";
    throw DataError(fmt::format("\"{}\" {}, but is {}", key_, expected, what));
  }
  bool open(std::string_view what) {
    if (!keys_.empty() || what != "an object") wrong(what);
    if (keys_.size() == max_depth) throw DataError(fmt::format("nested more than {} deep", max_depth));
    keys_.emplace_back();
    return true;
  }
  bool close() {
    if (keys_.size() == 1) fields_ = std::move(keys_.back());
    keys_.pop_back();
    return true;
  }

  MemeRecord record_;
  std::string key_;                             // of the record's own object
  std::vector<std::vector<std::string>> keys_;  // the keys seen in each open object or array
  std::vector<std::string> fields_;             // those of the record's own object, once it is closed
};

}  // namespace

MemeRecord parse_meme_line(std::string_view line) {
  RecordReader reader;
  json::sax_parse(line.begin(), line.end(), &reader);
  return reader.finish();
}

std::string repaired_utf8(std::string_view text) {
  std::string repaired;
  repaired.reserve(text.size());
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (std::size_t at = 0; at < text.size();) {
    utf8proc_int32_t code = 0;
    const auto length = utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(text.size() - at), &code);
    if (length > 0)
      repaired.append(text.substr(at, static_cast<std::size_t>(length)));
    else
      repaired += "\uFFFD";
    at += length > 0 ? static_cast<std::size_t>(length) : 1;
  }
  return repaired;
}

}  // namespace sslmeme::detail
