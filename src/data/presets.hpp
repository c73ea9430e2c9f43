// MMHS150K's one big JSON object, read in one pass.
#pragma once

#include "data/files.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace sslmeme::detail {

/// What MMHS150K_GT.json says of a tweet.
struct Tweet {
  std::string text;
  std::int64_t hateful = 0, annotators = 0;  // how many labels are not 0, and how many there are
  bool text_was_repaired = false;            // of malformed UTF-8
};

struct RepairedText {
  std::string text;
  bool was_repaired = false;
};

/// Calls `take` for each entry of the object. Malformed UTF-8 becomes U+FFFD. What is kept is one entry. Throws
/// DataError, naming the file, for what is not such a file, a string or number of more than 1 MiB and nesting
/// beyond 32.
void read_tweets(ByteReader& reader, const std::function<void(const std::string& id, Tweet tweet)>& take);

/// The string under `key` in a small JSON object. Throws DataError as parse_meme_line does.
RepairedText read_json_text(std::string_view json, const std::string& key);

}  // namespace sslmeme::detail
