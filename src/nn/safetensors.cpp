#include <sslmeme/nn/safetensors.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>

#include "core/shown.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cstring>
#include <set>
#include <span>

namespace sslmeme {
namespace {

constexpr std::uint64_t max_header_bytes = 100'000'000;
constexpr std::uintmax_t max_file_bytes = std::uintmax_t{1} << 40U;
constexpr std::size_t max_tensors = 100'000;
constexpr std::size_t max_name_bytes = 1024;
constexpr std::size_t max_rank = 8;

struct StoredType {
  const char* name;
  torch::ScalarType type;
};
constexpr std::array types{StoredType{"F64", torch::kDouble}, StoredType{"F32", torch::kFloat},
                           StoredType{"F16", torch::kHalf},   StoredType{"BF16", torch::kBFloat16},
                           StoredType{"I64", torch::kLong},   StoredType{"I32", torch::kInt},
                           StoredType{"I16", torch::kShort},  StoredType{"I8", torch::kChar},
                           StoredType{"U8", torch::kByte},    StoredType{"BOOL", torch::kBool}};

[[noreturn]] void reject(const std::filesystem::path& path, const std::string& what) {
  throw DataError(fmt::format("{} is no valid safetensors file: {}", path.string(), detail::shown(what, 400)));
}

/// Parses the header, refusing duplicate keys, which nlohmann would silently merge.
nlohmann::ordered_json parse_header(const std::filesystem::path& path, std::string_view text) {
  std::vector<std::set<std::string>> keys;
  std::string duplicate;
  const auto watch = [&](int depth, nlohmann::ordered_json::parse_event_t event, nlohmann::ordered_json& value) {
    using Event = nlohmann::ordered_json::parse_event_t;
    if (depth > 8) reject(path, "its header is nested too deeply");
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(value.get<std::string>()).second)
      duplicate = value.get<std::string>();
    return true;
  };
  try {
    auto header = nlohmann::ordered_json::parse(text, watch);
    if (!duplicate.empty()) reject(path, fmt::format("the name \"{}\" occurs twice", duplicate));
    if (!header.is_object()) reject(path, "its header is no JSON object");
    return header;
  } catch (const nlohmann::json::exception& error) {
    reject(path, fmt::format("its header is no JSON ({})", error.what()));
  }
}

struct Entry {
  std::string name;
  torch::ScalarType type;
  std::vector<std::int64_t> shape;
  std::uint64_t begin, end;
};

Entry parse_entry(const std::filesystem::path& path, const std::string& name, const nlohmann::ordered_json& value) {
  if (name.empty() || name.size() > max_name_bytes)
    reject(path, fmt::format("a tensor's name has {} bytes", name.size()));
  try {
    const auto dtype = value.at("dtype").get<std::string>();
    const auto* const type =
        std::find_if(types.begin(), types.end(), [&](const StoredType& t) { return dtype == t.name; });
    if (type == types.end()) reject(path, fmt::format("\"{}\" has the type {}, which is not supported", name, dtype));
    const auto& offsets = value.at("data_offsets");
    if (!value.at("shape").is_array() || value.at("shape").size() > max_rank)
      reject(path, fmt::format("\"{}\" has a bad shape", name));
    if (!offsets.is_array() || offsets.size() != 2) reject(path, fmt::format("\"{}\" has bad offsets", name));
    Entry entry{name, type->type, {}, 0, 0};
    std::uint64_t bytes = torch::elementSize(type->type), extent = bytes;
    for (const auto& size : value.at("shape")) {
      if (!size.is_number_unsigned()) reject(path, fmt::format("\"{}\" has a bad shape", name));
      const auto n = size.get<std::uint64_t>();
      // A size of 0 must not hide the overflow of the others: strides are their product all the same.
      if (n > max_file_bytes || extent > max_file_bytes / std::max<std::uint64_t>(n, 1)) {
        reject(path, fmt::format("the shape of \"{}\" overflows", name));
      }
      extent *= std::max<std::uint64_t>(n, 1);
      bytes *= n;
      entry.shape.push_back(static_cast<std::int64_t>(n));
    }
    if (!offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned())
      reject(path, fmt::format("\"{}\" has bad offsets", name));
    entry.begin = offsets[0].get<std::uint64_t>();
    entry.end = offsets[1].get<std::uint64_t>();
    if (entry.end < entry.begin || entry.end - entry.begin != bytes) {
      reject(path,
             fmt::format("\"{}\" takes {} bytes, its offsets give [{}, {})", name, bytes, entry.begin, entry.end));
    }
    return entry;
  } catch (const nlohmann::json::exception& error) {
    reject(path, fmt::format("the entry of \"{}\" is malformed ({})", name, error.what()));
  }
}

/// Sorted, contiguous from 0, up to the end of the file.
void check_layout(const std::filesystem::path& path, std::vector<Entry>& entries, std::uint64_t data_bytes) {
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair{a.begin, a.end} < std::pair{b.begin, b.end};
  });
  std::uint64_t at = 0;
  for (const auto& entry : entries) {
    if (entry.begin != at)
      reject(path, fmt::format("\"{}\" begins at {}, expected at {}", entry.name, entry.begin, at));
    at = entry.end;
  }
  if (at != data_bytes) reject(path, fmt::format("its tensors take {} bytes, {} are there", at, data_bytes));
}

}  // namespace

Safetensors read_safetensors(const std::filesystem::path& path) {
  const auto content = read_file(path, max_file_bytes);
  std::uint64_t header_bytes = 0;
  if (content.size() < sizeof header_bytes) reject(path, fmt::format("it holds {} bytes", content.size()));
  for (int i = 7; i >= 0; --i)
    header_bytes = (header_bytes << 8U) | static_cast<unsigned char>(content[static_cast<std::size_t>(i)]);
  if (header_bytes > max_header_bytes || header_bytes > content.size() - 8) {
    reject(path, fmt::format("its header claims {} bytes, the file has {}", header_bytes, content.size()));
  }
  const auto text = std::string_view{content}.substr(8, header_bytes);
  if (!text.starts_with('{')) reject(path, "its header does not begin with {");
  const auto header = parse_header(path, text);
  if (header.size() > max_tensors) reject(path, fmt::format("it claims {} tensors", header.size()));

  Safetensors file;
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != "__metadata__") {
      entries.push_back(parse_entry(path, name, value));
      continue;
    }
    if (!value.is_object()) reject(path, "its metadata is no JSON object");
    for (const auto& [key, entry] : value.items()) {
      if (!entry.is_string()) reject(path, fmt::format("metadata \"{}\" is no string", key));
      file.metadata[key] = entry.get<std::string>();
    }
  }
  check_layout(path, entries, content.size() - 8 - header_bytes);
  for (const auto& entry : entries) {
    auto tensor = torch::empty(entry.shape, entry.type);
    if (entry.end > entry.begin)
      std::memcpy(tensor.data_ptr(), content.data() + 8 + header_bytes + entry.begin, entry.end - entry.begin);
    file.tensors.emplace_back(entry.name, std::move(tensor));
  }
  return file;
}

FileDigest write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                             const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    const auto* const type =
        std::find_if(types.begin(), types.end(), [&](const StoredType& t) { return t.type == tensor.scalar_type(); });
    if (type == types.end()) {
      throw InvalidArgument(
          fmt::format("\"{}\" is {}, which safetensors cannot hold", name, toString(tensor.scalar_type())));
    }
    if (name.empty() || name == "__metadata__")
      throw InvalidArgument(fmt::format("a tensor must not be called \"{}\"", name));
    if (header.contains(name)) throw InvalidArgument(fmt::format("two tensors are called \"{}\"", name));
    const auto bytes = static_cast<std::uint64_t>(tensor.numel()) * tensor.element_size();
    header[name] = {{"dtype", type->name}, {"shape", tensor.sizes().vec()}, {"data_offsets", {at, at + bytes}}};
    at += bytes;
  }
  auto text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return write_atomically(path, [&](const ByteSink& sink) {
    std::array<std::byte, 8> length{};
    for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<std::byte>(text.size() >> (8 * i));
    sink(length);
    sink(std::as_bytes(std::span{text}));
    for (const auto& [name, tensor] : tensors) {
      const auto flat = tensor.detach().cpu().contiguous();
      sink({static_cast<const std::byte*>(flat.data_ptr()), flat.nbytes()});
    }
  });
}

}  // namespace sslmeme
