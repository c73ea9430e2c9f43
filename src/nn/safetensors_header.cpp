#include "nn/safetensors_header.hpp"

#include <sslmeme/core/error.hpp>

#include "core/shown.hpp"
#include "core/utf8.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <ranges>
#include <unordered_set>

namespace sslmeme::detail {
namespace {

struct StoredType {
  std::string_view name;
  torch::ScalarType type;
};
constexpr std::array types{StoredType{"F64", torch::kDouble},
                           StoredType{"F32", torch::kFloat},
                           StoredType{"F16", torch::kHalf},
                           StoredType{"BF16", torch::kBFloat16},
                           StoredType{"F8_E4M3", at::kFloat8_e4m3fn},
                           StoredType{"F8_E5M2", at::kFloat8_e5m2},
                           StoredType{"I64", torch::kLong},
                           StoredType{"I32", torch::kInt},
                           StoredType{"I16", torch::kShort},
                           StoredType{"I8", torch::kChar},
                           StoredType{"U64", at::kUInt64},
                           StoredType{"U32", at::kUInt32},
                           StoredType{"U16", at::kUInt16},
                           StoredType{"U8", torch::kByte},
                           StoredType{"BOOL", torch::kBool}};

/// Takes the header event by event. A document tree of a hostile header would be many times as large as the header.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(const std::filesystem::path& path) : path_{path} {}

  SafetensorsHeader header;

  bool start_object(std::size_t /*elements*/) override {
    if (where_ == Where::outside) return enter(Where::header);
    if (where_ != Where::header) misfit();
    if (name_ == metadata_name) return enter(Where::metadata);
    dtype_.reset();
    shape_.reset();
    offsets_.reset();
    return enter(Where::entry);
  }

  bool key(std::string& text) override {
    if (where_ == Where::header) return name(text);
    key_ = text;
    if (where_ == Where::metadata) {
      if (header.metadata.contains(text)) reject(fmt::format("the metadata \"{}\" occurs twice", text));
      if (header.metadata.size() == max_tensors) reject("it claims too many metadata");
      return true;
    }
    if ((text == "dtype" && dtype_) || (text == "shape" && shape_) || (text == "data_offsets" && offsets_))
      reject(fmt::format("the key \"{}\" occurs twice in the entry of \"{}\"", text, name_));
    if (text != "dtype" && text != "shape" && text != "data_offsets")
      reject(fmt::format("the entry of \"{}\" has the key \"{}\", which the format does not know", name_, text));
    return true;
  }

  bool end_object() override {
    if (where_ == Where::entry) finish_entry();
    where_ = where_ == Where::header ? Where::outside : Where::header;
    return true;
  }

  bool start_array(std::size_t /*elements*/) override {
    if (where_ == Where::entry && key_ == "shape") {
      shape_.emplace();
      return enter(Where::shape);
    }
    if (where_ == Where::entry && key_ == "data_offsets") {
      offsets_.emplace();
      return enter(Where::offsets);
    }
    misfit();
  }

  bool end_array() override { return enter(Where::entry); }

  bool string(std::string& text) override {
    if (where_ == Where::metadata)
      header.metadata[key_] = text;
    else if (where_ == Where::entry && key_ == "dtype")
      dtype_ = text;
    else
      misfit();
    return true;
  }

  bool number_unsigned(std::uint64_t number) override {
    if (where_ == Where::shape && shape_->size() < max_rank)
      shape_->push_back(number);
    else if (where_ == Where::offsets && offsets_->size() < 2)
      offsets_->push_back(number);
    else
      misfit();
    return true;
  }

  bool null() override { misfit(); }
  bool boolean(bool /*value*/) override { misfit(); }
  bool number_integer(std::int64_t /*value*/) override { misfit(); }
  bool number_float(double /*value*/, const std::string& /*text*/) override { misfit(); }
  bool binary(nlohmann::json::binary_t& /*value*/) override { misfit(); }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& error) override {
    reject(fmt::format("its header is no JSON ({})", error.what()));
  }

 private:
  enum class Where { outside, header, metadata, entry, shape, offsets };
  static constexpr std::string_view metadata_name = "__metadata__";

  [[noreturn]] void reject(const std::string& what) const { reject_safetensors(path_, what); }

  /// For a value of a kind that has no place where it stands.
  [[noreturn]] void misfit() const {
    if (where_ == Where::metadata) reject(fmt::format("metadata \"{}\" is no string", key_));
    if (where_ == Where::shape || (where_ == Where::entry && key_ == "shape"))
      reject(fmt::format("\"{}\" has a bad shape: at most {} whole numbers are one", name_, max_rank));
    if (where_ == Where::offsets || (where_ == Where::entry && key_ == "data_offsets"))
      reject(fmt::format("\"{}\" has bad offsets: two whole numbers are needed", name_));
    if (where_ == Where::entry) reject(fmt::format("the dtype of \"{}\" is no string", name_));
    if (name_ == metadata_name) reject("its metadata is no JSON object");
    reject(fmt::format("the entry of \"{}\" is no JSON object", name_));
  }

  bool enter(Where where) {
    where_ = where;
    return true;
  }

  bool name(const std::string& text) {
    if (text.empty() || text.size() > max_name_bytes)
      reject(fmt::format("a tensor's name has {} bytes; 1 to {} are allowed", text.size(), max_name_bytes));
    if (!names_.insert(text).second) reject(fmt::format("the name \"{}\" occurs twice", text));
    if (header.entries.size() == max_tensors && text != metadata_name)
      reject(fmt::format("it claims more than {} tensors", max_tensors));
    name_ = text;
    return true;
  }

  void finish_entry() {
    if (!dtype_ || !shape_ || !offsets_) {
      reject(fmt::format("the entry of \"{}\" lacks \"{}\"", name_,
                         !dtype_   ? "dtype"
                         : !shape_ ? "shape"
                                   : "data_offsets"));
    }
    const auto* const type = std::ranges::find(types, *dtype_, &StoredType::name);
    if (type == types.end()) {
      reject(fmt::format("\"{}\" has the type {}, which is not supported: convert it to one of {}", name_, *dtype_,
                         fmt::join(std::views::transform(types, &StoredType::name), ", ")));
    }
    if (offsets_->size() != 2) misfit_offsets();
    SafetensorsEntry entry{name_, type->type, {}, offsets_->front(), offsets_->back()};
    std::uint64_t bytes = torch::elementSize(type->type), extent = bytes;
    for (const auto size : *shape_) {
      // A size of 0 must not hide the overflow of the others: strides are their product all the same.
      if (size > max_file_bytes || extent > max_file_bytes / std::max<std::uint64_t>(size, 1))
        reject(fmt::format("the shape of \"{}\" overflows", name_));
      extent *= std::max<std::uint64_t>(size, 1);
      bytes *= size;
      entry.shape.push_back(static_cast<std::int64_t>(size));
    }
    if (entry.end < entry.begin || entry.end - entry.begin != bytes)
      reject(fmt::format("\"{}\" takes {} bytes, its offsets give [{}, {})", name_, bytes, entry.begin, entry.end));
    header.entries.push_back(std::move(entry));
  }

  [[noreturn]] void misfit_offsets() {
    where_ = Where::offsets;
    misfit();
  }

  const std::filesystem::path& path_;
  Where where_ = Where::outside;
  std::string name_, key_;  ///< of the entry, and within it or the metadata
  std::unordered_set<std::string> names_;
  std::optional<std::string> dtype_;
  std::optional<std::vector<std::uint64_t>> shape_, offsets_;
};

/// Contiguous from 0 up to the end of the file, in some order.
void check_layout(const std::filesystem::path& path, const std::vector<SafetensorsEntry>& entries,
                  std::uint64_t data_bytes) {
  std::vector<const SafetensorsEntry*> sorted;
  for (const auto& entry : entries) sorted.push_back(&entry);
  std::ranges::stable_sort(sorted, {}, [](const SafetensorsEntry* e) { return std::pair{e->begin, e->end}; });
  std::uint64_t at = 0;
  for (const auto* entry : sorted) {
    if (entry->begin != at)
      reject_safetensors(path, fmt::format("\"{}\" begins at {}, expected at {}", entry->name, entry->begin, at));
    at = entry->end;
  }
  if (at != data_bytes)
    reject_safetensors(path, fmt::format("its tensors take {} bytes, {} are there", at, data_bytes));
}

std::string json_text(const std::string& text, const char* what) {
  if (!is_utf8(text))
    throw InvalidArgument(fmt::format("the {} {} is not UTF-8, which safetensors needs", what, in_quotes(text)));
  return nlohmann::json(text).dump();
}

void require_writable(const std::string& name, const Tensor& tensor) {
  const auto refuse = [&](const std::string& why) {
    throw InvalidArgument(fmt::format("{} {}", in_quotes(name), why));
  };
  if (!tensor.defined()) refuse("is undefined, which safetensors cannot hold");
  if (!std::ranges::count(types, tensor.scalar_type(), &StoredType::type))
    refuse(fmt::format("is {}, which safetensors cannot hold", toString(tensor.scalar_type())));
  if (tensor.layout() != torch::kStrided || tensor.is_meta())
    refuse(
        "has no dense values, which safetensors needs: call .to_dense() on a sparse tensor, and give a meta tensor "
        "memory");
  if (static_cast<std::size_t>(tensor.dim()) > max_rank)
    refuse(fmt::format("has {} dimensions; at most {} are read back: flatten some", tensor.dim(), max_rank));
}

void require_name(const std::string& name) {
  if (name.empty() || name == "__metadata__")
    throw InvalidArgument(fmt::format("a tensor must not be called \"{}\"", name));
  if (name.size() > max_name_bytes) {
    throw InvalidArgument(fmt::format("the tensor's name {} has {} bytes; at most {} are read back", in_quotes(name),
                                      name.size(), max_name_bytes));
  }
}

}  // namespace

void reject_safetensors(const std::filesystem::path& path, std::string_view what) {
  constexpr std::size_t max_characters = 400;
  throw DataError(fmt::format("{} is no valid safetensors file: {}", shown_path(path), shown(what, max_characters)));
}

SafetensorsHeader parse_safetensors_header(const std::filesystem::path& path, std::string_view text,
                                           std::uint64_t data_bytes) {
  if (!text.starts_with('{')) reject_safetensors(path, "its header does not begin with {");
  // The parser takes one for the end of the text and would not look at what follows.
  if (text.find('\0') != std::string_view::npos) reject_safetensors(path, "its header holds a zero byte");
  HeaderReader reader{path};
  nlohmann::json::sax_parse(text, &reader);
  check_layout(path, reader.header.entries, data_bytes);
  return std::move(reader.header);
}

SafetensorsLayout lay_out_safetensors(const NamedTensors& tensors, const std::map<std::string, std::string>& metadata) {
  if (tensors.size() > max_tensors || metadata.size() > max_tensors) {
    throw InvalidArgument(fmt::format("{} tensors with {} metadata are too many for one file; at most {} are read back",
                                      tensors.size(), metadata.size(), max_tensors));
  }
  std::unordered_set<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    require_name(name);
    require_writable(name, tensor);
    if (!names.insert(name).second) throw InvalidArgument(fmt::format("two tensors are called {}", in_quotes(name)));
  }
  SafetensorsLayout layout{"{", std::vector<std::size_t>(tensors.size())};
  std::iota(layout.order.begin(), layout.order.end(), std::size_t{0});
  // What follows a wider type is aligned, whatever its shape.
  std::ranges::stable_sort(layout.order, std::ranges::greater{},
                           [&](std::size_t i) { return tensors[i].second.element_size(); });
  std::vector<std::uint64_t> begins(tensors.size());
  std::uint64_t at = 0;
  for (const auto i : layout.order) {
    begins[i] = at;
    at += tensors[i].second.nbytes();
  }

  auto& text = layout.header;
  const auto comma = [&] { return text.back() == '{' ? "" : ","; };
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata)
      text += fmt::format("{}{}:{}", comma(), json_text(key, "metadata"), json_text(value, "metadata"));
    text += '}';
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = tensors[i];
    text += fmt::format(R"({}{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", comma(),
                        json_text(name, "tensor's name"),
                        std::ranges::find(types, tensor.scalar_type(), &StoredType::type)->name,
                        fmt::join(tensor.sizes(), ","), begins[i], begins[i] + tensor.nbytes());
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > max_header_bytes) {
    throw InvalidArgument(fmt::format("the header takes {} bytes; safetensors allows {}: shorten names and metadata",
                                      text.size(), max_header_bytes));
  }
  return layout;
}

}  // namespace sslmeme::detail
