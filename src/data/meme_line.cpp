#include "data/meme_line.hpp"

#include <sslmeme/core/error.hpp>

#include "data/files.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sslmeme::detail {

namespace {

using nlohmann::json;
using Kind = Cell::Kind;

constexpr std::size_t max_depth = 32, max_keys = 256;

/// Reads the values of the wanted keys; anything else may stand beside them, but no key twice in one object.
class RowReader final : public nlohmann::json_sax<json> {
 public:
  explicit RowReader(const ManifestColumns& columns)
      : wanted_{{{columns.id, &row_.id},
                 {columns.picture, &row_.picture},
                 {columns.text, &row_.text},
                 {columns.label, &row_.label}}} {}

  bool null() override { return value({.kind = Kind::null, .text = "null"}); }
  bool boolean(bool is) override { return value({.kind = Kind::boolean, .text = is ? "true" : "false"}); }
  bool number_integer(std::int64_t number) override {
    return value({.kind = Kind::whole, .text = std::to_string(number)});
  }
  bool number_unsigned(std::uint64_t number) override {
    return value({.kind = Kind::whole, .text = std::to_string(number)});
  }
  bool number_float(double, const std::string& text) override { return value({.kind = Kind::fraction, .text = text}); }
  bool string(std::string& text) override { return value({.kind = Kind::string, .text = std::move(text)}); }
  bool binary(json::binary_t&) override { return value({.kind = Kind::object}); }  // not in JSON texts

  bool start_object(std::size_t) override { return open({.kind = Kind::object}); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open({.kind = Kind::array}); }
  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    auto& seen = keys_.back();
    if (std::ranges::find(seen, name) != seen.end())
      throw DataError(fmt::format("the key {} stands twice", in_quotes(name)));
    if (seen.size() == max_keys) throw DataError(fmt::format("an object of more than {} keys", max_keys));
    if (keys_.size() == 1) key_ = name;
    seen.push_back(std::move(name));
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const json::exception& error) override {
    throw DataError(fmt::format("not JSON: {}", json_complaint(error.what())));
  }

  Row finish() { return std::move(row_); }

 private:
  struct Wanted {
    std::string_view key;
    Cell* cell = nullptr;
  };

  bool value(Cell cell) {
    if (keys_.empty()) {
      const auto what = cell.kind == Kind::whole || cell.kind == Kind::fraction ? "a number" : cell.described();
      throw DataError(fmt::format("{} instead of an object {{\"id\": …, \"img\": …, …}}", what));
    }
    if (keys_.size() == 1) {
      for (const auto& [key, place] : wanted_) {
        if (!key.empty() && key == key_) *place = cell;
      }
      wants_element_ = cell.kind == Kind::array && !wanted_.back().key.empty() && key_ == wanted_.back().key;
    } else if (std::exchange(wants_element_, false) && keys_.size() == 2 && cell.is_scalar()) {
      row_.label = std::move(cell);
      row_.label.is_element = true;
    }
    return true;
  }
  bool open(Cell cell) {
    const bool is_row = keys_.empty() && cell.kind == Kind::object;
    if (!is_row) value(std::move(cell));
    if (keys_.size() == max_depth) throw DataError(fmt::format("nested more than {} deep", max_depth));
    keys_.emplace_back();
    return true;
  }
  bool close() {
    wants_element_ = false;
    keys_.pop_back();
    return true;
  }

  Row row_;
  std::array<Wanted, 4> wanted_;
  std::string key_;                             // of the row's own object
  std::vector<std::vector<std::string>> keys_;  // the keys seen in each open object or array
  bool wants_element_ = false;                  // the label is an array that has just been opened
};

Row parse(std::string_view line, const ManifestColumns& columns) {
  RowReader reader{columns};
  json::sax_parse(line.begin(), line.end(), &reader);
  return reader.finish();
}

/// Whether what was replaced in the line lies in the text: then another replacement makes another text.
bool text_was_repaired(std::string_view line, const ManifestColumns& columns, const std::string& text) {
  try {
    return parse(repaired_utf8(line, "\uFFFC"), columns).text.text != text;
  } catch (const DataError&) {  // keys that differ only in what was replaced
    return true;
  }
}

}  // namespace

std::string Cell::described() const {
  if (is_element) return "an array";
  switch (kind) {
    case Kind::absent:
      return "absent";
    case Kind::null:
      return "null";
    case Kind::boolean:
      return "a boolean";
    case Kind::whole:
    case Kind::fraction:
      return fmt::format("the number {}", shown(text));
    case Kind::string:
      return "a string";
    case Kind::array:
      return "an array";
    case Kind::object:
      return "an object";
  }
  return {};
}

Row parse_meme_line(std::string_view line, const ManifestColumns& columns) {
  const auto repaired = repaired_utf8(line);
  auto row = parse(repaired, columns);
  if (repaired != line) row.text_was_repaired = text_was_repaired(line, columns, row.text.text);
  return row;
}

std::string json_complaint(std::string_view what) {
  // "[json.exception.parse_error.101] parse error at line 1, column 5: …", which goes on to quote what it read
  constexpr std::size_t max_characters = 160;
  const auto column = what.find("column "), bracket = what.find("] ");
  if (column != std::string_view::npos)
    what.remove_prefix(column);
  else if (what.starts_with('[') && bracket != std::string_view::npos)
    what.remove_prefix(bracket + 2);
  return shown(what, max_characters);
}

}  // namespace sslmeme::detail
