// One row of a manifest, before its values are judged; and one line of a JSONL manifest as such a row.
#pragma once

#include <sslmeme/data/manifest.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace sslmeme::detail {

constexpr std::size_t max_row_bytes = 1 << 20;

/// A value as it stands in a manifest.
struct Cell {
  enum class Kind { absent, null, boolean, whole, fraction, string, array, object };
  Kind kind = Kind::absent;
  std::string text = {};    // of a string; of a number as it is written; "true" or "false"
  bool is_element = false;  // the first element of an array

  bool is_scalar() const { return kind >= Kind::boolean && kind <= Kind::string; }
  /// "null", "a boolean", "the number 3.0", "a string", …
  std::string described() const;
};

struct Row {
  Cell id, picture, text, label;  // absent where the column's name is empty
  bool text_was_repaired = false;
};

/// The row in a line. Malformed UTF-8 is replaced; an array becomes its first element if that is a string, a number or
/// a boolean, for labels only. Throws DataError, without file and line, for what is no JSON object, a key that stands
/// twice, more than 256 keys in an object and nesting beyond 32.
Row parse_meme_line(std::string_view line, const ManifestColumns& columns);

/// What nlohmann's parser complains about, as of its "column N: …".
std::string json_complaint(std::string_view what);

}  // namespace sslmeme::detail
