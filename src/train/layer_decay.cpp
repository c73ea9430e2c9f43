#include <sslmeme/train/optimizer.hpp>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace sslmeme {
namespace {

/// A parameter's place in an encoder: the encoder's prefix and its block, in order.
struct Place {
  std::string encoder;
  std::pair<std::int64_t, std::int64_t> block{-1, -1};  ///< -1: before all blocks
};

/// timm's classifier is a layer behind the last block; the norm before it belongs to that block.
constexpr std::pair classifier{std::numeric_limits<std::int64_t>::max(), std::int64_t{0}};
constexpr std::pair last_norm{classifier.first - 1, std::int64_t{0}};

/// What stands before a block's number: timm's ViT, transformers' BERT and DistilBERT, open_clip's transformers.
constexpr std::string_view block_names[] = {"blocks.", "encoder.layer.", "transformer.layer.",
                                            "transformer.resblocks."};
/// How names of what comes before all blocks begin: timm's ViT, transformers' BERT and DistilBERT, open_clip's
/// transformers, ResNets (open_clip's has a stem of three convolutions).
constexpr std::string_view first_names[] = {"cls_token",
                                            "pos_embed",
                                            "patch_embed",
                                            "embeddings.",
                                            "class_embedding",
                                            "positional_embedding",
                                            "ln_pre.",
                                            "token_embedding.",
                                            "conv1.",
                                            "conv2.",
                                            "conv3.",
                                            "bn1.",
                                            "bn2.",
                                            "bn3."};

std::optional<std::int64_t> number_at(std::string_view text, std::size_t begin) {
  std::int64_t value = 0;
  const auto* const first = text.data() + begin;
  const auto [end, error] = std::from_chars(first, text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data() + text.size() || *end != '.') return {};
  return value;
}

/// None after all blocks and outside encoders.
std::optional<Place> place_of(const std::string& name) {
  // Within a method an encoder's names follow "….encoder."; a module trained by itself begins with its own.
  auto marker = name.find("encoder.");
  while (marker != std::string::npos && marker > 0 && name[marker - 1] != '.')
    marker = name.find("encoder.", marker + 1);
  const bool inside = marker != std::string::npos && !name.substr(marker).starts_with("encoder.layer.");
  const auto begin = inside ? marker + std::string_view{"encoder."}.size() : 0;
  const auto own = std::string_view{name}.substr(begin);
  const auto encoder = name.substr(0, begin);
  for (const auto prefix : block_names) {
    if (!own.starts_with(prefix)) continue;
    if (const auto block = number_at(own, prefix.size())) return Place{encoder, {*block, 0}};
  }
  if (own.starts_with("layer")) {  // a ResNet's "layer2.1."
    const auto stage = number_at(own, 5);
    const auto dot = own.find('.');
    const auto block = dot == std::string_view::npos ? std::nullopt : number_at(own, dot + 1);
    if (stage && block) return Place{encoder, {*stage, *block}};
  }
  if (own.starts_with("head.") || own.starts_with("fc.")) return Place{encoder, classifier};
  if (own.starts_with("norm.")) return Place{encoder, last_norm};
  const bool first =
      std::any_of(std::begin(first_names), std::end(first_names), [&](auto n) { return own.starts_with(n); });
  return first ? std::optional{Place{encoder}} : std::nullopt;
}

}  // namespace

std::vector<std::int64_t> layers_from_the_end(const std::vector<std::string>& names) {
  std::map<std::string, std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t>> layers;
  std::vector<std::optional<Place>> places;
  for (const auto& name : names) {
    places.push_back(place_of(name));
    if (!places.back() || places.back()->block == last_norm) continue;
    layers[places.back()->encoder][places.back()->block] = 0;
  }
  for (auto& [encoder, blocks] : layers) {
    auto depth = static_cast<std::int64_t>(blocks.size()) - 1;  // what comes after them belongs to the last block
    for (auto& [block, layer] : blocks) layer = depth--;
  }
  std::vector<std::int64_t> result;
  for (const auto& place : places) {
    if (!place) {
      result.push_back(0);
    } else if (place->block == last_norm) {
      result.push_back(layers[place->encoder].contains(classifier) ? 1 : 0);
    } else {
      result.push_back(layers[place->encoder][place->block]);
    }
  }
  return result;
}

}  // namespace sslmeme
