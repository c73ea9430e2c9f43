#include <sslmeme/nn/weights.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/backbone.hpp>

#include "core/shown.hpp"
#include "nn/key_maps.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>

namespace sslmeme {
namespace {

/// "a, b, c and 7 more"
std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t shown = 3;
  constexpr std::size_t characters = 160;
  std::string text;
  for (std::size_t i = 0; i < std::min(shown, names.size()); ++i)
    text += (i == 0 ? "" : ", ") + detail::shown(names[i], characters);
  if (names.size() > shown) text += fmt::format(" and {} more", names.size() - shown);
  return text;
}

std::vector<std::string> names_of(const NamedTensors& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  return names;
}

bool allowed(const std::vector<std::string>& patterns, const std::string& name) {
  return std::ranges::any_of(patterns, [&](const auto& pattern) { return detail::matches(name, pattern); });
}

/// Numbers with a fraction are converted into one another; anything else would lose values.
bool is_convertible(const Tensor& from, const Tensor& to) {
  return from.scalar_type() == to.scalar_type() || (from.is_floating_point() && to.is_floating_point());
}

Tensor resampled(const torch::nn::Module& module, const std::string& name, const Tensor& stored) {
  if (const auto* const backbone = dynamic_cast<const Backbone*>(&module)) return backbone->resampled(name, stored);
  for (const auto& item : module.named_modules(/*name_prefix=*/{}, /*include_self=*/false)) {
    const auto* const backbone = dynamic_cast<const Backbone*>(item.value().get());
    if (backbone == nullptr || !name.starts_with(item.key() + ".")) continue;
    return backbone->resampled(name.substr(item.key().size() + 1), stored);
  }
  return {};
}

/// Puts a file's tensors to a module's, and says what does not fit before anything is copied.
class Loader {
 public:
  Loader(const torch::nn::Module& module, const NamedTensors& tensors, const LoadOptions& options)
      : module_{module}, options_{options}, state_{state_of(module)}, kind_{detail::kind_of(names_of(state_))} {
    for (const auto& [name, tensor] : tensors) {
      if (!name.starts_with(options.prefix)) continue;
      auto rest = name.substr(options.prefix.size());
      if (!given_.emplace(rest, tensor).second)
        throw InvalidArgument(fmt::format("two tensors are called {}: give each once", detail::in_quotes(name)));
      names_.push_back(std::move(rest));
    }
    map_ = options.format == WeightFormat::automatic ? likeliest() : detail::key_map(options.format, kind_, names_);
    report_.format = map_.format;
    report_.prefix = options.prefix + map_.prefix;
    report_.unused = map_.unused;
  }

  LoadReport load() {
    for (const auto& [name, tensor] : state_) match(name, tensor);
    for (const auto& [name, source] : map_.sources) {
      if (used_.contains(name)) continue;
      for (const auto& part : source.parts)
        if (!part.empty()) leave_out(part, name);
    }
    for (const auto& name : map_.unknown) leave_out(name, name);
    require_no_problems();
    const torch::NoGradGuard no_grad;
    for (const auto& [target, value] : copies_) target.copy_(value);
    return std::move(report_);
  }

 private:
  std::size_t matches_of(const detail::KeyMap& map) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(state_, [&](const auto& own) { return map.sources.contains(own.first); }));
  }

  detail::KeyMap likeliest() const {
    detail::KeyMap best;
    std::size_t most = 0;
    const auto formats = detail::formats_of(kind_);
    for (const auto format : formats) {
      auto map = detail::key_map(format, kind_, names_);
      const auto count = matches_of(map);
      if (count <= most && !best.sources.empty()) continue;
      most = count;
      best = std::move(map);
    }
    if (most == 0 && kind_ != detail::ModuleKind::other) refuse_all(formats);
    return best;
  }

  [[noreturn]] void refuse_all(const std::vector<WeightFormat>& formats) const {
    std::vector<std::string_view> tried;
    for (const auto format : formats) tried.push_back(name_of(format));
    std::string remedy = "look at the names in the file, and set LoadOptions::prefix if they all begin alike";
    const auto below = "." + state_.front().first;
    const auto found = std::ranges::find_if(names_, [&](const auto& name) { return name.ends_with(below); });
    if (found != names_.end()) {
      remedy = fmt::format("set LoadOptions::prefix to {}",
                           detail::in_quotes(options_.prefix + found->substr(0, found->size() - below.size() + 1)));
    }
    throw InvalidArgument(fmt::format("none of the {} tensors{} has a place in this {}; tried: {}; {}", names_.size(),
                                      names_.empty() ? "" : fmt::format(" ({})", some_of(names_)), name_of(kind_),
                                      fmt::join(tried, ", "), remedy));
  }

  /// What the file has for `name`; undefined where a part is not there.
  Tensor stored(const std::string& name) {
    const auto found = map_.sources.find(name);
    if (found == map_.sources.end()) return {};
    std::vector<Tensor> parts;
    for (const auto& part : found->second.parts) {
      if (part.empty()) return {};
      parts.push_back(given_.at(part));
    }
    used_.insert(name);
    if (parts.size() == 1) return found->second.transposed && parts[0].dim() == 2 ? parts[0].t() : parts[0];
    for (const auto& part : parts) {
      if (part.dim() > 0 && part.sizes() == parts[0].sizes() && part.scalar_type() == parts[0].scalar_type()) continue;
      reshaped_.push_back(
          fmt::format("{} is put together of {}, {} and others", name, shape_string(parts[0]), shape_string(part)));
      return parts[0];
    }
    const torch::NoGradGuard no_grad;
    return torch::cat(parts);
  }

  /// PyTorch too counts batches from zero where a file is older than the counter.
  bool may_be_missing(const std::string& name) const {
    constexpr std::string_view counter = "num_batches_tracked";
    const bool counted =
        name.ends_with(counter) && map_.sources.contains(name.substr(0, name.size() - counter.size()) + "running_mean");
    return counted || allowed(options_.allow_missing, name);
  }

  void match(const std::string& name, const Tensor& tensor) {
    if (allowed(options_.keep, name)) {
      report_.missing.push_back(name);
      if (const auto found = map_.sources.find(name); found != map_.sources.end()) {
        used_.insert(name);
        std::ranges::copy_if(found->second.parts, std::back_inserter(report_.unknown),
                             [](const auto& part) { return !part.empty(); });
      }
      return;
    }
    const auto problems = reshaped_.size();
    auto value = stored(name);
    if (reshaped_.size() > problems) return;
    if (!value.defined()) {
      (may_be_missing(name) ? report_.missing : missing_).push_back(name);
      return;
    }
    if (!is_convertible(value, tensor)) {
      retyped_.push_back(fmt::format("{} is {} in the file, {} in the model", name, toString(value.scalar_type()),
                                     toString(tensor.scalar_type())));
      return;
    }
    if (value.sizes() != tensor.sizes()) {
      const auto shape = shape_string(value);
      const auto fitted = options_.resample ? resampled(module_, name, value) : Tensor{};
      if (!fitted.defined() || fitted.sizes() != tensor.sizes()) {
        reshape(name, shape, tensor);
        return;
      }
      report_.resampled.push_back(fmt::format("{} {} → {}", name, shape, shape_string(tensor)));
      value = fitted;
    }
    report_.matched.push_back(name);
    copies_.emplace_back(tensor, std::move(value));
  }

  void reshape(const std::string& name, const std::string& shape, const Tensor& tensor) {
    const auto& parts = map_.sources.at(name).parts;
    if (allowed(options_.allow_missing, name) && may_be_left_out(parts.front(), name)) {
      report_.missing.push_back(name);
      report_.unknown.insert(report_.unknown.end(), parts.begin(), parts.end());
      return;
    }
    reshaped_.push_back(fmt::format("{} is {} in the file, {} in the model", name, shape, shape_string(tensor)));
  }

  bool may_be_left_out(const std::string& in_file, const std::string& name) const {
    return allowed(options_.allow_unknown, in_file) || allowed(options_.allow_unknown, name);
  }

  void leave_out(const std::string& in_file, const std::string& name) {
    (may_be_left_out(in_file, name) ? report_.unknown : unknown_).push_back(in_file);
  }

  void require_no_problems() const {
    std::string problems;
    const auto tell = [&](const char* what, const std::vector<std::string>& names) {
      if (!names.empty()) problems += fmt::format("{}{}: {}", problems.empty() ? "" : "; ", what, some_of(names));
    };
    tell("missing", missing_);
    tell("unknown", unknown_);
    tell("of another shape", reshaped_);
    tell("of another type", retyped_);
    if (problems.empty()) return;
    throw InvalidArgument(fmt::format(
        "the weights{} do not fit the model ({}): make the model with the options they were trained with, or name in "
        "LoadOptions what may differ",
        kind_ == detail::ModuleKind::other ? "" : fmt::format(", read as {},", name_of(map_.format)), problems));
  }

  const torch::nn::Module& module_;
  const LoadOptions& options_;
  NamedTensors state_;
  detail::ModuleKind kind_;
  std::unordered_map<std::string, Tensor> given_;
  std::vector<std::string> names_;  ///< of what is given, in its order
  detail::KeyMap map_;
  LoadReport report_;
  std::set<std::string> used_;
  std::vector<std::string> missing_, unknown_, reshaped_, retyped_;
  std::vector<std::pair<Tensor, Tensor>> copies_;
};

/// A format that the caller names and the module cannot have is the caller's mistake, not the file's.
void require_format(const torch::nn::Module& module, WeightFormat format) {
  if (format != WeightFormat::automatic)
    detail::key_map(format, detail::kind_of(names_of(state_of(module))), std::span<const std::string>{});
}

/// transformers refuses a file that does not say what it is for.
std::map<std::string, std::string> for_torch() {
  return {{"format", "pt"}};
}

constexpr std::array heads{"head.*", "fc.*", "classifier.*", "heads.*", "pre_classifier.*", "qa_outputs.*"};

}  // namespace

NamedTensors state_of(const torch::nn::Module& module) {
  NamedTensors state;
  for (const auto& item : module.named_parameters()) state.emplace_back(item.key(), item.value());
  for (const auto& item : module.named_buffers()) state.emplace_back(item.key(), item.value());
  return state;
}

std::string_view name_of(WeightFormat format) {
  switch (format) {
    case WeightFormat::automatic:
      return "automatic";
    case WeightFormat::own:
      return "own";
    case WeightFormat::timm:
      return "timm";
    case WeightFormat::torchvision:
      return "torchvision";
    case WeightFormat::open_clip:
      return "open_clip";
    case WeightFormat::hugging_face:
      return "hugging_face";
    case WeightFormat::dino:
      return "dino";
  }
  return "automatic";
}

LoadOptions without_head(LoadOptions options) {
  options.allow_unknown.insert(options.allow_unknown.end(), heads.begin(), heads.end());
  return options;
}

LoadOptions with_fresh_head(LoadOptions options) {
  options.keep.insert(options.keep.end(), heads.begin(), heads.end());
  return without_head(std::move(options));
}

std::string LoadReport::summary() const {
  auto text = fmt::format("{} tensors from {}", matched.size(), name_of(format));
  const auto tell = [&](const char* what, const std::vector<std::string>& names) {
    if (!names.empty()) text += fmt::format("; {} {} ({})", names.size(), what, some_of(names));
  };
  tell("resampled", resampled);
  tell("kept as they were", missing);
  tell("left out", unknown);
  if (!unused.empty()) text += fmt::format("; {} of no use here", unused.size());
  return text;
}

LoadReport load_state(torch::nn::Module& module, const NamedTensors& tensors, const LoadOptions& options) {
  return Loader{module, tensors, options}.load();
}

LoadReport load_weights(const std::filesystem::path& path, torch::nn::Module& module, const LoadOptions& options) {
  require_format(module, options.format);
  const SafetensorsFile file{path};
  try {
    return load_state(module, file.tensors(), options);
  } catch (const InvalidArgument& error) {
    throw DataError(fmt::format("{}: {}", detail::shown_path(path), error.what()));
  }
}

void save_weights(const std::filesystem::path& path, const torch::nn::Module& module,
                  const std::map<std::string, std::string>& metadata) {
  write_safetensors(path, state_of(module), metadata);
}

NamedTensors state_as(const torch::nn::Module& module, WeightFormat format) {
  if (format == WeightFormat::automatic || format == WeightFormat::dino) {
    throw InvalidArgument(
        fmt::format("weights cannot be written as {}: name the library that shall read them", name_of(format)));
  }
  const auto state = state_of(module);
  const auto names = names_of(state);
  const auto kind = detail::kind_of(names);
  NamedTensors renamed;
  for (const auto& [name, tensor] : state) {
    const auto target = detail::named_as(format, kind, name, names);
    if (target.parts.empty()) {
      throw InvalidArgument(fmt::format("{} has no tensor for \"{}\" of this {}: write it with its own names",
                                        name_of(format), name, name_of(kind)));
    }
    const auto whole = target.transposed ? tensor.detach().t() : tensor.detach();
    const auto parts =
        whole.dim() == 0 ? std::vector{whole} : whole.chunk(static_cast<std::int64_t>(target.parts.size()));
    for (std::size_t i = 0; i < target.parts.size(); ++i) renamed.emplace_back(target.parts[i], parts[i]);
  }
  return renamed;
}

void save_pretrained(const std::filesystem::path& path, const torch::nn::Module& module, WeightFormat format) {
  write_safetensors(path, state_as(module, format), for_torch());
}

void save_clip(const std::filesystem::path& path, const ImageBackbone& images, const TextBackbone& texts,
               double log_scale, WeightFormat format) {
  if (format != WeightFormat::open_clip && format != WeightFormat::hugging_face) {
    throw InvalidArgument(
        fmt::format("a model of CLIP cannot be written as {}: choose open_clip or hugging_face", name_of(format)));
  }
  auto tensors = state_as(images, format);
  const auto more = state_as(texts, format);
  if (images.feature_dim() != texts.feature_dim()) {
    throw InvalidArgument(fmt::format("the towers do not belong together: pictures have {} features, texts {}",
                                      images.feature_dim(), texts.feature_dim()));
  }
  if (!std::isfinite(log_scale))
    throw InvalidArgument(fmt::format("log_scale is {}; CLIP starts with ln(1 / 0.07) = 2.66", log_scale));
  tensors.insert(tensors.end(), more.begin(), more.end());
  tensors.emplace_back("logit_scale", torch::tensor(log_scale, torch::kFloat));
  write_safetensors(path, tensors, for_torch());
}

}  // namespace sslmeme
