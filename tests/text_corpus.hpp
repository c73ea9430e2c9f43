// The strings that tokenizers are compared on, and what the references made of them
// (scripts/golden/tokenizer_corpus.py).
#pragma once

#include <sslmeme/core/files.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "core/utf8.hpp"
#include "json_files.hpp"
#include "text/vocabulary_file.hpp"

namespace sslmeme::test {

inline const std::filesystem::path text_data = std::filesystem::path{SSLMEME_TEST_DATA} / "text";

using Ids = std::vector<std::int64_t>;

/// FNV-1a over the ids as 32-bit numbers.
class IdHash {
 public:
  void add(const Ids& ids) {
    for (const auto id : ids) {
      for (unsigned shift = 0; shift < 32; shift += 8) {
        value_ = (value_ ^ (static_cast<std::uint64_t>(id) >> shift & 0xFFU)) * 0x100000001B3U;
      }
    }
  }
  std::string hex() const {
    std::ostringstream text;
    text.fill('0');
    text.width(16);
    text << std::hex << value_;
    return text.str();
  }

 private:
  std::uint64_t value_ = 0xCBF29CE484222325U;
};

/// Whether `ids` are what a golden says, as they are or by their hash.
inline bool same_ids(const Ids& ids, const nlohmann::json& golden) {
  if (golden.is_array()) return ids == golden.get<Ids>();
  IdHash hash;
  hash.add(ids);
  return hash.hex() == golden.get<std::string>();
}

inline std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

struct CorpusEntry {
  std::string text;
  nlohmann::json bert, clip;
};

struct Corpus {
  std::vector<CorpusEntry> entries;
  std::vector<nlohmann::json> settings;  ///< hashes of 50 entries each, by settings of BertTokenizer
};

inline Corpus read_corpus() {
  Corpus corpus;
  std::istringstream file{detail::read_vocabulary(text_data / "corpus.jsonl.gz")};
  std::string line;
  std::getline(file, line);  // what made it
  while (std::getline(file, line)) {
    const auto row = nlohmann::json::parse(line);
    if (row.size() == 2) {
      corpus.settings.push_back(row[1]);
    } else {
      corpus.entries.push_back(
          {row[0].is_string() ? row[0].get<std::string>() : from_hex(row[0].at("hex")), row[1], row[2]});
    }
  }
  return corpus;
}

/// The blocks of 1024 code points for which `line`, of "a" + the code point + "b", gives other lines than the golden.
inline std::vector<std::string> blocks_that_differ(const std::string& golden,
                                                   const std::function<std::string(const std::string&)>& line) {
  const auto expected = json_of(text_data / "code_points.json").at(golden).get<std::vector<std::uint32_t>>();
  std::vector<std::string> blocks;
  std::size_t block = 0;
  for (char32_t start = 0; start < 0x110000; start += 1024) {
    if (start >= 0xD800 && start < 0xE000) continue;
    std::string lines;
    for (auto c = start; c < start + 1024; ++c) {
      std::string text = "a";
      detail::append_character(text, c);
      lines += line(text + 'b') + '\n';
    }
    const auto digest = digest_of(std::as_bytes(std::span{lines}));
    std::ostringstream name;
    name << "U+" << std::hex << static_cast<std::uint32_t>(start);
    if (digest.crc32 != expected.at(block++)) blocks.push_back(name.str());
  }
  return blocks;
}

}  // namespace sslmeme::test
