#include "data/presets.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/data/presets.hpp>

#include "core/utf8.hpp"
#include "data/csv.hpp"
#include "data/manifest.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <streambuf>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace sslmeme {

namespace fs = std::filesystem;

namespace detail {

namespace {

using nlohmann::json;

/// Hands a file to the JSON parser, malformed UTF-8 repaired, but no string or number of more than max_row_bytes: the
/// parser would collect it.
class JsonBytes final : public std::streambuf {
 public:
  explicit JsonBytes(ByteReader& reader) : reader_{reader} {}

  /// How often the bytes that were handed out so far were repaired.
  std::size_t repairs() const { return repairs_; }

 protected:
  int_type underflow() override {
    constexpr std::size_t block = 1 << 14;
    bytes_.clear();
    while (repaired_.empty() && bytes_.size() < block && reader_.peek() >= 0) read_character();
    if (bytes_.empty() && !repaired_.empty()) {  // alone, so that it is counted when the parser is there
      bytes_ = std::exchange(repaired_, {});
      ++repairs_;
    }
    if (bytes_.empty()) return traits_type::eof();
    for (const char c : bytes_) check(c);
    setg(bytes_.data(), bytes_.data(), bytes_.data() + bytes_.size());
    return traits_type::to_int_type(bytes_.front());
  }

 private:
  /// The next character, or what may be one, to the end of `bytes_`; what stands for it into `repaired_` if it is none.
  void read_character() {
    const auto lead = static_cast<char>(reader_.get());
    if (utf8_length(lead) == 1) {
      bytes_ += lead;
      return;
    }
    std::string character{lead};
    constexpr int kind = 0xC0, continues = 0x80;
    while (character.size() < utf8_length(lead) && (reader_.peek() & kind) == continues)
      character += static_cast<char>(reader_.get());
    const auto clean = repaired_utf8(character);
    (clean == character ? bytes_ : repaired_) += clean;
  }

  void check(char c) {
    constexpr std::string_view between = " \t\r\n{}[],:";
    const bool ends = in_string_ ? c == '"' && !escaped_ : c == '"' || between.find(c) != std::string_view::npos;
    escaped_ = in_string_ && c == '\\' && !escaped_;
    if (ends && c == '"') in_string_ = !in_string_;
    length_ = ends ? 0 : length_ + 1;
    if (length_ > max_row_bytes) throw DataError(fmt::format("a value of more than {} bytes", max_row_bytes));
  }

  ByteReader& reader_;
  std::string bytes_, repaired_;
  std::size_t repairs_ = 0;
  bool in_string_ = false, escaped_ = false;
  std::size_t length_ = 0;
};

/// The entries of {"ID": {"tweet_text": "…", "labels": [0, 0, 5], …}, …}.
class TweetReader final : public nlohmann::json_sax<json> {
 public:
  using Take = std::function<void(const std::string&, Tweet)>;
  TweetReader(const Take& take, const JsonBytes& bytes) : take_{take}, bytes_{bytes} {}

  bool null() override { return value("null"); }
  bool boolean(bool) override { return value("a boolean"); }
  bool number_integer(std::int64_t) override { return value("a negative number"); }
  bool number_unsigned(std::uint64_t number) override { return label(number != 0); }
  bool number_float(double, const std::string&) override { return value("a fraction"); }
  bool binary(json::binary_t&) override { return true; }
  bool string(std::string& text) override {
    if (depth_ != 2 || key_ != "tweet_text") return value("a string");
    tweet_.text = std::move(text);
    tweet_.text_was_repaired = bytes_.repairs() != repairs_at_key_;
    has_text_ = true;
    return true;
  }
  bool key(std::string& name) override {
    if (depth_ == 1) {
      id_ = std::move(name);
      tweet_ = {};
      has_text_ = false;
    } else if (depth_ == 2) {
      key_ = std::move(name);
      repairs_at_key_ = bytes_.repairs();
      if ((key_ == "tweet_text" && has_text_) || (key_ == "labels" && tweet_.annotators > 0))
        wrong(fmt::format("has \"{}\" twice", key_));
    }
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ >= 2) value("an object");
    return open();
  }
  bool end_object() override {
    if (--depth_ == 1) {
      if (!has_text_) wrong("has no \"tweet_text\"");
      if (tweet_.annotators == 0) wrong("has no \"labels\"");
      take_(id_, std::exchange(tweet_, {}));
    }
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || key_ != "labels") value("an array");
    in_labels_ = depth_ == 2 && key_ == "labels";
    return open();
  }
  bool end_array() override {
    --depth_;
    in_labels_ = false;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const json::exception& error) override {
    throw DataError(fmt::format("not JSON: {}", json_complaint(error.what())));
  }

 private:
  [[noreturn]] void wrong(std::string_view what) const {
    throw DataError(fmt::format("the tweet {} {}", in_quotes(id_), what));
  }
  // Anything may stand under other keys, but not here.
  bool value(std::string_view what) const {
    if (depth_ < 2) throw DataError(fmt::format("{} instead of an object for each tweet's id", what));
    if (in_labels_) wrong(fmt::format("has {} among its \"labels\": they must be whole numbers from 0", what));
    if (depth_ == 2 && key_ == "labels") wrong(fmt::format("has {} as \"labels\": give an array", what));
    if (depth_ == 2 && key_ == "tweet_text") wrong(fmt::format("has {} as \"tweet_text\": give a string", what));
    return true;
  }
  bool label(bool is_hateful) {
    if (!in_labels_) return value("a number");
    ++tweet_.annotators;
    if (is_hateful) ++tweet_.hateful;
    return true;
  }
  bool open() {
    constexpr int max_depth = 32;
    if (depth_ == max_depth) throw DataError(fmt::format("nested more than {} deep", max_depth));
    ++depth_;
    return true;
  }

  const Take& take_;
  const JsonBytes& bytes_;
  std::size_t repairs_at_key_ = 0;
  int depth_ = 0;
  std::string id_, key_;
  Tweet tweet_;
  bool has_text_ = false, in_labels_ = false;
};

/// The first of the files that is there. Throws AbsentSplit if none is.
std::string first_there(const Folder& folder, const std::vector<std::string>& candidates) {
  for (const auto& file : candidates) {
    if (folder.has_file(file) || (errno != ENOENT && errno != ENOTDIR)) return file;
  }
  throw AbsentSplit(fmt::format("{} has none of {}", shown_path(folder.root()), fmt::join(candidates, ", ")));
}

std::string folder_of(const std::string& file) {
  return fs::path{file}.parent_path().string();
}

/// `split` by its name. Throws InvalidArgument for another.
template <class T>
T choose(std::string_view who, const std::string& split, const std::vector<std::pair<std::string, T>>& splits) {
  std::vector<std::string> names;
  for (const auto& [name, value] : splits) {
    if (name == split) return value;
    names.push_back(in_quotes(name));
  }
  throw InvalidArgument(fmt::format("{}: {} is no split: give {}", who, in_quotes(split), fmt::join(names, ", ")));
}

void check_split(std::string_view who, const std::string& split) {
  choose<int>(who, split, {{"train", 0}, {"val", 0}, {"test", 0}});
}

ManifestOptions manifest_options(const PresetOptions& options, ManifestColumns columns) {
  return {.columns = std::move(columns),
          .duplicates = options.duplicates,
          .limits = options.limits,
          .check_pictures = options.check_pictures};
}

/// The labels of MAMI's test split by the pictures' names.
std::unordered_map<std::string, std::string> read_test_labels(const Folder& folder, const std::string& file) {
  std::unordered_map<std::string, std::string> labels;
  auto reader = open_manifest(folder, file, ManifestOptions{}.max_file_bytes);
  CsvReader rows{reader, '\t'};
  with_place(
      reader.path(), [&] { return rows.line(); },
      [&] {
        for (std::vector<std::string> fields; rows.next(fields);) {
          if (fields.size() < 2)
            throw DataError(fmt::format("{} fields: a row must have a picture's file and its label", fields.size()));
          if (std::cmp_equal(labels.size(), ManifestOptions{}.max_records)) throw DataError("too many rows");
          if (!labels.try_emplace(repaired_utf8(fields[0]), repaired_utf8(fields[1])).second)
            throw DataError(fmt::format("the picture {} stands twice: remove one", in_quotes(fields[0])));
        }
      });
  return labels;
}

/// The ids in a file of one a line, each with its line.
std::vector<std::pair<std::int64_t, std::int64_t>> read_ids(ByteReader& reader) {
  std::vector<std::pair<std::int64_t, std::int64_t>> ids;
  for_each_line(reader, [&](std::string_view line, std::int64_t number) {
    const auto text = trimmed(line);
    const auto id = natural_number(text);
    if (!id) throw DataError(fmt::format("{} is no tweet's id: give a whole number", in_quotes(text)));
    if (std::cmp_equal(ids.size(), ManifestOptions{}.max_records)) throw DataError("too many rows");
    ids.emplace_back(*id, number);
  });
  return ids;
}

/// The words read off a picture, if there is a file with them.
RepairedText picture_text(const Folder& folder, std::int64_t id) {
  const auto path = fmt::format("img_txt/{}.json", id);
  auto file = folder.open(path);
  if (!file.valid() && (errno == ENOENT || errno == ENOTDIR)) return {};
  if (!file.valid())
    throw IoError(fmt::format("cannot open {}: {}", shown_path(folder.path_of(path)), why_not_opened(errno)));
  const auto content = ByteReader{std::move(file), folder.path_of(path), max_row_bytes, ""}.rest();
  RepairedText text;
  with_place(folder.path_of(path), [] { return 1; }, [&] { text = read_json_text(content, "img_text"); });
  return text;
}

}  // namespace

void read_tweets(ByteReader& reader, const std::function<void(const std::string&, Tweet)>& take) {
  JsonBytes bytes{reader};
  TweetReader tweets{take, bytes};
  std::istream stream{&bytes};
  try {
    json::sax_parse(stream, &tweets);
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", shown_path(reader.path()), error.what()));
  }
}

RepairedText read_json_text(std::string_view json, const std::string& key) {
  auto row = parse_meme_line(json, {.id = "", .picture = "", .text = key, .label = ""});
  if (row.text.kind != Cell::Kind::string)
    throw DataError(fmt::format("{} must be a string, but is {}", in_quotes(key), row.text.described()));
  return {std::move(row.text.text), row.text_was_repaired};
}

}  // namespace detail

Manifest mami(const fs::path& root, const std::string& split, const PresetOptions& options) {
  using detail::RowRules;
  const auto candidates = detail::choose<std::vector<std::string>>(
      "mami", split,
      {{"train", {"training.csv", "TRAINING/training.csv", "training/TRAINING/training.csv"}},
       {"trial", {"trial.csv", "TRIAL/trial.csv", "trial/trial.csv"}},
       {"test", {"Test.csv", "test/Test.csv", "test/test/Test.csv"}}});
  detail::Folder folder{root};
  const auto file = detail::first_there(folder, candidates);
  const bool is_test = split == "test";
  auto rules = detail::manifest_options(
      options,
      {.id = "file_name", .picture = "file_name", .text = "Text Transcription", .label = is_test ? "" : "misogynous"});
  rules.picture_folder = detail::folder_of(file);
  std::unordered_map<std::string, std::string> labels;
  if (is_test) {
    for (const auto& place : {rules.picture_folder, std::string{}}) {
      const auto name = detail::inner_path(place, "test_labels.txt");
      if (!labels.empty() || (!folder.has_file(name) && errno == ENOENT)) continue;
      labels = detail::read_test_labels(folder, name);
    }
  }
  if (!labels.empty()) rules.columns.label = "misogynous";
  detail::ManifestBuilder builder{std::move(folder), root / file, rules, RowRules::file_names};
  auto reader = detail::open_manifest(builder.folder(), file, rules.max_file_bytes);
  if (labels.empty())
    detail::add_csv_rows(reader, '\t', builder);
  else
    detail::add_csv_rows(reader, '\t', builder, [&](detail::Row& row) {
      const auto label = labels.find(row.picture.text);
      if (label == labels.end())
        throw DataError(fmt::format("test_labels.txt has no label of {}", detail::in_quotes(row.picture.text)));
      row.label = {.kind = detail::Cell::Kind::string, .text = label->second};
    });
  return Manifest{std::move(builder).finish()};
}

Manifest harmeme(const fs::path& root, const std::string& split, const PresetOptions& options) {
  detail::check_split("harmeme", split);
  detail::Folder folder{root};
  const auto name = split + ".jsonl";
  const auto file = detail::first_there(folder, {"annotations/" + name, "defaults/annotations/" + name, name});
  auto rules = detail::manifest_options(options, {.id = "id", .picture = "image", .text = "text", .label = "labels"});
  rules.labels = {{"not harmful", 0}, {"somewhat harmful", 1}, {"very harmful", 1}};
  const auto beside = detail::folder_of(file);  // annotations, defaults/annotations or nothing
  const auto above = detail::folder_of(beside);
  rules.picture_folder = beside;
  for (const auto* pictures : {"images", "img"}) {
    const auto place = detail::inner_path(above, pictures);
    if (rules.picture_folder == beside && folder.has_folder(place)) rules.picture_folder = place;
  }
  detail::ManifestBuilder builder{std::move(folder), root / file, rules, detail::RowRules::general};
  auto reader = detail::open_manifest(builder.folder(), file, rules.max_file_bytes);
  detail::add_json_lines(reader, builder);
  return Manifest{std::move(builder).finish()};
}

Manifest mmhs150k(const fs::path& root, const std::string& split, const PresetOptions& options) {
  detail::check_split("mmhs150k", split);
  constexpr std::string_view all = "MMHS150K_GT.json";
  detail::Folder place_of_all{root};
  const auto file = detail::first_there(place_of_all, {fmt::format("splits/{}_ids.txt", split)});
  const auto rules = detail::manifest_options(options, {});
  detail::ManifestBuilder builder{std::move(place_of_all), root / file, rules, detail::RowRules::general};
  const auto& folder = builder.folder();
  auto split_reader = detail::open_manifest(folder, file, rules.max_file_bytes);
  const auto ids = detail::read_ids(split_reader);

  std::unordered_map<std::int64_t, std::optional<detail::Tweet>> tweets;
  for (const auto& [id, line] : ids) tweets.try_emplace(id);
  auto reader = detail::open_manifest(folder, std::string{all}, rules.max_file_bytes);
  detail::read_tweets(reader, [&](const std::string& text, detail::Tweet tweet) {
    const auto id = detail::whole_number(text);
    const auto wanted = id ? tweets.find(*id) : tweets.end();
    if (wanted == tweets.end()) return;
    if (wanted->second) throw DataError(fmt::format("the tweet {} stands twice", *id));
    wanted->second = std::move(tweet);
  });

  std::int64_t place = 0;
  detail::with_place(
      split_reader.path(), [&] { return place; },
      [&] {
        for (const auto& [id, line] : ids) {
          place = line;
          const auto& tweet = tweets.at(id);
          if (!tweet) throw DataError(fmt::format("{} has no tweet {}", all, id));
          using Kind = detail::Cell::Kind;
          auto text = tweet->text;
          const auto words = detail::picture_text(folder, id);
          if (!words.text.empty()) text += "\n" + words.text;
          const bool is_hateful = 2 * tweet->hateful > tweet->annotators;
          builder.add({.id = {.kind = Kind::whole, .text = std::to_string(id)},
                       .picture = {.kind = Kind::string, .text = fmt::format("img_resized/{}.jpg", id)},
                       .text = {.kind = Kind::string, .text = std::move(text)},
                       .label = {.kind = Kind::whole, .text = is_hateful ? "1" : "0"},
                       .text_was_repaired = tweet->text_was_repaired || words.was_repaired},
                      line);
        }
      });
  return Manifest{std::move(builder).finish()};
}

}  // namespace sslmeme
