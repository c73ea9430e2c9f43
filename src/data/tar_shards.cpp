#include <sslmeme/data/tar_shards.hpp>

#include "core/rethrow.hpp"
#include "data/decoders.hpp"
#include "data/files.hpp"
#include "data/tar_reader.hpp"

#include <sslmeme/core/error.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sslmeme {

namespace fs = std::filesystem;
using detail::in_quotes, detail::natural_number, detail::picture_extensions, detail::shown, detail::shown_path;

namespace {

constexpr int max_json_depth = 32;

/// Where something lies within a shard.
struct Place {
  std::int64_t offset = 0;
  std::int64_t size = -1;  ///< −1: there is none
  bool there() const { return size >= 0; }
};

/// A sample of the index.
struct Entry {
  std::int64_t id = 0;
  std::uint32_t shard = 0, key_size = 0;
  std::size_t key_begin = 0;  ///< within State::keys
  std::size_t extension = 0;  ///< of the picture, within picture_extensions
  Place picture, text, label, json;
};

struct MemberName {
  std::string_view key;
  std::string extension;  ///< in lower case, without the dot
};

/// WebDataset's split. None for a hidden file, a name without a dot and what lies in a folder like __meta__.
std::optional<MemberName> split(std::string_view name) {
  while (name.starts_with("./")) name.remove_prefix(2);
  const auto slash = name.rfind('/');
  const auto base = slash == std::string_view::npos ? 0 : slash + 1;
  const auto dot = name.find('.', base);
  if (dot == std::string_view::npos || dot == base) return std::nullopt;
  if (name.starts_with("__") && name.substr(0, name.find('/')).ends_with("__")) return std::nullopt;
  return MemberName{name.substr(0, dot), detail::ascii_lower(name.substr(dot + 1))};
}

/// What an open file is told by: one that was written anew holds other samples at the places of the index.
struct Stamp {
  std::int64_t bytes = 0, seconds = 0, nanoseconds = 0;
  bool operator==(const Stamp&) const = default;
};

Stamp stamp_of(const detail::FileDescriptor& file, const fs::path& path) {
  struct stat status{};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode))
    throw IoError(fmt::format("{} is no regular file: give the path of a .tar file", shown_path(path)));
  return {status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

/// Runs `body`; what it throws is rethrown with `where()` in front, as the same class.
template <class Where, class Body>
auto with_place(const Where& where, const Body& body) {
  const auto named = [&](std::string_view what) { return fmt::format("{}: {}", where(), what); };
  try {
    return body();
  } catch (const DataError&) {
    detail::rethrow_named(named);
  } catch (const IoError&) {
    detail::rethrow_named(named);
  }
}

struct Words {
  std::string text;
  std::optional<std::int64_t> label;
};

/// What a .json member says. `json` is valid UTF-8.
Words parse_words(const std::string& json, const TarShardOptions& options) {
  using Json = nlohmann::json;
  using Event = Json::parse_event_t;
  std::vector<std::string> seen;
  const auto watch = [&](int depth, Event event, Json& value) {
    if (depth > max_json_depth) throw DataError(fmt::format("nested more than {} deep", max_json_depth));
    if (depth != 1 || event != Event::key) return true;
    const auto& key = value.get_ref<const std::string&>();
    if (key != options.label_key && std::ranges::find(options.text_keys, key) == options.text_keys.end()) return true;
    if (std::ranges::find(seen, key) != seen.end()) throw DataError(fmt::format("the key \"{}\" stands twice", key));
    seen.push_back(key);
    return true;
  };
  Json object;
  try {
    object = Json::parse(json, watch);
  } catch (const Json::exception& error) {
    throw DataError(fmt::format("not JSON: {}", shown(error.what(), 300)));  // it quotes, and may cut a character
  }
  if (!object.is_object())
    throw DataError(fmt::format("{} instead of an object {{\"{}\": …}}", object.type_name(), options.label_key));
  Words words;
  for (const auto& key : options.text_keys) {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) continue;
    if (!found->is_string())
      throw DataError(fmt::format("\"{}\" must be a string, but is {}", key, found->type_name()));
    words.text = found->get<std::string>();
    break;
  }
  if (const auto found = object.find(options.label_key); found != object.end() && !found->is_null()) {
    constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
    if (!found->is_number_unsigned() || found->get<std::uint64_t>() > largest) {
      throw DataError(fmt::format("\"{}\" must be a whole number from 0, null, or be left out, but is {}",
                                  options.label_key, shown(found->dump())));
    }
    words.label = found->get<std::int64_t>();
  }
  return words;
}

void validate(const std::vector<fs::path>& shards, const TarShardOptions& options) {
  if (shards.empty()) throw InvalidArgument("TarShards: no shard: give the paths of .tar files");
  if (shards.size() > std::numeric_limits<std::uint32_t>::max())
    throw InvalidArgument("TarShards: over 2^32 − 1 shards");
  const auto check = [](std::string_view name, std::int64_t value, std::int64_t most) {
    if (value < 1 || value > most)
      throw InvalidArgument(fmt::format("TarShards: .{} is {}: must be within 1 and {}", name, value, most));
  };
  check("max_members", options.max_members, std::numeric_limits<std::int64_t>::max());
  check("max_text_bytes", options.max_text_bytes, 1 << 30);
}

}  // namespace

struct TarShards::State {
  std::vector<fs::path> shards;
  TarShardOptions options;
  std::vector<Entry> entries;
  std::vector<Stamp> stamps;
  std::vector<std::size_t> sizes;  // samples of each shard
  std::string keys;                // all of them, one behind the other

  State(std::vector<fs::path> shards_, const TarShardOptions& options_)
      : shards{std::move(shards_)}, options{options_} {
    validate(shards, options);
    for (std::size_t shard = 0; shard < shards.size(); ++shard) {
      const auto file = open(static_cast<std::uint32_t>(shard));
      stamps.push_back(stamp_of(*file, shards[shard]));
      with_place([&] { return shown_path(shards[shard]); },
                 [&] { add_shard(static_cast<std::uint32_t>(shard), *file); });
    }
    check_ids();
  }

  std::string_view key_of(const Entry& entry) const {
    return std::string_view{keys}.substr(entry.key_begin, entry.key_size);
  }
  std::string place_of(const Entry& entry, std::string_view extension) const {
    return fmt::format("{}:{}.{}", shown_path(shards[entry.shard]), shown(key_of(entry)), extension);
  }
  std::string place_of(const Entry& entry) const { return place_of(entry, picture_extensions[entry.extension]); }

  void add_shard(std::uint32_t shard, const detail::FileDescriptor& file) {
    detail::TarReader reader{file, stamps[shard].bytes, options.max_members};
    const auto first = entries.size();
    const auto finish = [&] {
      if (entries.size() > first && !entries.back().picture.there()) {
        throw DataError(fmt::format("sample {} has no .jpg, .png, .webp, .gif or .bmp member: add one or leave it out",
                                    shown(key_of(entries.back()))));
      }
    };
    while (const auto member = reader.next()) {
      const auto parts = split(member->name);
      if (!parts) continue;
      if (entries.size() == first || key_of(entries.back()) != parts->key) {
        finish();
        begin_sample(shard, parts->key);
      }
      add_member(entries.back(), parts->extension, *member);
    }
    finish();
    if (entries.size() == first)
      throw DataError("no sample: its members must be called like 000042.jpg and 000042.txt");
    sizes.push_back(entries.size() - first);
  }

  void begin_sample(std::uint32_t shard, std::string_view key) {
    auto& entry = entries.emplace_back();
    entry.shard = shard;
    entry.key_begin = keys.size();
    entry.key_size = static_cast<std::uint32_t>(key.size());
    keys += key;
    const auto number = options.number_ids ? natural_number(key) : std::nullopt;
    entry.id = number ? *number : detail::stable_id(fmt::format("{}:{}", shards[shard].filename().string(), key));
  }

  static void add_member(Entry& entry, std::string_view extension, const detail::TarMember& member) {
    const auto set = [&](Place& place, std::string_view what) {
      if (place.there())
        throw DataError(fmt::format("member {} is a second {} of its sample: leave one", shown(member.name), what));
      place = {member.offset, member.size};
    };
    if (const auto* const found = std::ranges::find(picture_extensions, extension); found != picture_extensions.end()) {
      set(entry.picture, "picture");
      entry.extension = static_cast<std::size_t>(found - picture_extensions.begin());
    } else if (extension == "txt") {
      set(entry.text, "text");
    } else if (extension == "cls") {
      set(entry.label, "label");
    } else if (extension == "json") {
      set(entry.json, ".json");
    }
  }

  /// Ids must differ; a key that stands twice in a shard shows here too.
  void check_ids() const {
    std::vector<std::size_t> order(entries.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair{entries[i].id, i}; });
    for (std::size_t k = 1; k < order.size(); ++k) {
      const auto &a = entries[order[k - 1]], &b = entries[order[k]];
      if (a.id != b.id) continue;
      if (a.shard == b.shard && key_of(a) == key_of(b)) {
        throw DataError(
            fmt::format("{}: the key {} stands twice, with others between: pack the members of a sample side by side "
                        "(GNU tar: --sort=name)",
                        shown_path(shards[a.shard]), shown(key_of(a))));
      }
      throw DataError(fmt::format("{} and {} have the same id {}: {}", place_of(a), place_of(b), a.id,
                                  options.number_ids && natural_number(key_of(a))
                                      ? "where shards count anew, set .number_ids = false"
                                      : "give shards different file names"));
    }
  }

  /// An open shard, if need be opened anew, from any thread.
  std::shared_ptr<const detail::FileDescriptor> open(std::uint32_t shard) const {
    const std::lock_guard lock{mutex};
    auto found = std::ranges::find(opened, shard, &Opened::first);
    if (found == opened.end()) {
      auto file = std::make_shared<const detail::FileDescriptor>(detail::open_file(shards[shard]));
      const auto stamp = stamp_of(*file, shards[shard]);
      if (shard < stamps.size() && stamp != stamps[shard])
        throw IoError("changed since it was indexed: make the TarShards anew");
      constexpr std::size_t most = 16;
      if (opened.size() == most) opened.pop_back();
      found = opened.insert(opened.end(), {shard, std::move(file)});
    }
    std::rotate(opened.begin(), found, found + 1);  // the latest first
    return opened.front().second;
  }

  /// The content of a member, from any thread.
  std::vector<std::byte> read(const Entry& entry, const Place& place) const {
    std::vector<std::byte> bytes(static_cast<std::size_t>(place.size));
    const auto file = open(entry.shard);
    if (detail::read_at(*file, place.offset, bytes) < bytes.size())
      throw IoError("changed since it was indexed: make the TarShards anew");
    return bytes;
  }

  /// The content of a .txt, .cls or .json member as valid UTF-8.
  std::string read_utf8(const Entry& entry, const Place& place) const {
    if (place.size > options.max_text_bytes) {
      throw DataError(fmt::format("{} bytes, more than the limit of {}: make it smaller or raise .max_text_bytes",
                                  place.size, options.max_text_bytes));
    }
    const auto bytes = read(entry, place);
    return detail::repaired_utf8({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }

  std::string read_text(const Entry& entry) const {
    auto text = with_place([&] { return place_of(entry, "txt"); }, [&] { return read_utf8(entry, entry.text); });
    if (text.ends_with('\n')) text.pop_back();
    if (text.ends_with('\r')) text.pop_back();
    return text;
  }

  std::int64_t read_label(const Entry& entry) const {
    return with_place(
        [&] { return place_of(entry, "cls"); },
        [&] {
          const auto content = read_utf8(entry, entry.label);
          const auto digits = detail::trimmed(content);
          const auto number = natural_number(digits);
          if (!number) throw DataError(fmt::format("{} is no label: write a whole number from 0", in_quotes(digits)));
          return *number;
        });
  }

  Words read_words(const Entry& entry, bool text, bool label) const {
    Words words;
    const bool json = entry.json.there() && ((text && !entry.text.there()) || (label && !entry.label.there()));
    if (json) {
      words = with_place([&] { return place_of(entry, "json"); },
                         [&] { return parse_words(read_utf8(entry, entry.json), options); });
    }
    if (text && entry.text.there()) words.text = read_text(entry);
    if (label && entry.label.there()) words.label = read_label(entry);
    return words;
  }

 private:
  using Opened = std::pair<std::uint32_t, std::shared_ptr<const detail::FileDescriptor>>;
  mutable std::mutex mutex;
  mutable std::vector<Opened> opened;  // a few, the latest first
};

TarShards::TarShards(std::vector<fs::path> shards, const TarShardOptions& options)
    : state_{std::make_shared<const State>(std::move(shards), options)} {}

std::size_t TarShards::size() const {
  return state_->entries.size();
}

Sample TarShards::get(std::size_t i) const {
  const auto& entry = state_->entries[i];
  auto words = state_->read_words(entry, true, true);
  const auto encoded = bytes(i);
  auto picture = with_place([&] { return source(i); }, [&] { return decode_image(encoded, state_->options.limits); });
  return {std::move(picture), std::move(words.text), words.label, entry.id};
}

std::vector<std::byte> TarShards::bytes(std::size_t i) const {
  const auto& entry = state_->entries[i];
  return with_place([&] { return source(i); },
                    [&] {
                      detail::check_bytes(entry.picture.size, state_->options.limits);
                      return state_->read(entry, entry.picture);
                    });
}

std::int64_t TarShards::id(std::size_t i) const {
  return state_->entries[i].id;
}
std::optional<std::int64_t> TarShards::label(std::size_t i) const {
  return state_->read_words(state_->entries[i], false, true).label;
}
std::string TarShards::text(std::size_t i) const {
  return state_->read_words(state_->entries[i], true, false).text;
}
std::string TarShards::source(std::size_t i) const {
  return state_->place_of(state_->entries[i]);
}
const std::vector<fs::path>& TarShards::shards() const {
  return state_->shards;
}
std::vector<std::size_t> TarShards::shard_sizes() const {
  return state_->sizes;
}

}  // namespace sslmeme
