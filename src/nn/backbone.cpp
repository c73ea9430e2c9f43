#include <sslmeme/nn/backbone.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>

#include "core/near_names.hpp"
#include "core/shown.hpp"
#include "nn/families.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

template <class T>
struct nlohmann::adl_serializer<std::optional<T>> {
  static void to_json(json& j, const std::optional<T>& value) { value ? j = *value : j = nullptr; }
  static void from_json(const json& j, std::optional<T>& value) {
    value = j.is_null() ? std::nullopt : std::optional<T>{j.get<T>()};
  }
};

namespace sslmeme {

void to_json(nlohmann::json& j, Pooling pooling) {
  j = pooling == Pooling::mean ? "mean" : "first";
}
void from_json(const nlohmann::json& j, Pooling& pooling) {
  const auto name = j.get<std::string>();
  if (name != "mean" && name != "first")
    throw DataError(fmt::format("an encoder is described with the pooling {}: mean or first", detail::in_quotes(name)));
  pooling = name == "mean" ? Pooling::mean : Pooling::first;
}
// An option that a description lacks, since it is older, has its default.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ImageEncoderOptions, image_size, patch_size, width, depth, num_classes,
                                                seed, dynamic_img_size, pooling, norm_eps, drop_rate, pos_drop_rate,
                                                proj_drop_rate, attn_drop_rate, drop_path_rate, patch_drop_rate)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(TextEncoderOptions, vocabulary_size, max_tokens, width, depth, dropout,
                                                attention_dropout, pooling, seed)

namespace {

void require_nothing(const EncodeRequest& request) {
  if (request.tokens) throw InvalidArgument("this encoder gives no tokens: ask for its features alone");
  if (request.attention) throw InvalidArgument("this encoder gives no attention maps: ask for its features alone");
}

template <class Makers>
std::vector<std::string> names_of(const Makers& makers) {
  std::vector<std::string> names;
  for (const auto& [name, maker] : makers) names.push_back(name);
  return names;
}

template <class Makers, class Options>
auto make(const Makers& makers, const char* kind, const std::string& name, const Options& options) {
  const auto found = makers.find(name);
  if (found == makers.end()) {
    throw InvalidArgument(fmt::format("no {} encoder is called \"{}\"; did you mean: {}", kind, name,
                                      detail::near_names(name, names_of(makers))));
  }
  const TorchSeedScope seeded{options.seed};
  auto encoder = found->second(options);
  if (!encoder) throw InvalidArgument(fmt::format("the maker of \"{}\" returned no encoder", name));
  encoder->set_description(nlohmann::json{{"modality", kind}, {"name", name}, {"options", options}}.dump());
  return encoder;
}

template <class Makers, class Maker>
void add(Makers& makers, std::string name, Maker maker) {
  if (!maker) throw InvalidArgument(fmt::format("the maker of \"{}\" is empty", name));
  const auto [place, fresh] = makers.emplace(std::move(name), std::move(maker));
  if (!fresh)
    throw InvalidArgument(
        fmt::format("an encoder called \"{}\" is registered already: choose another name", place->first));
}

template <class Options>
std::pair<std::string, Options> parse(std::string_view text, const char* kind) {
  try {
    const auto json = nlohmann::json::parse(text);
    if (json.at("modality") != kind) {
      throw DataError(
          fmt::format("the encoder is described as {} where a {} encoder is needed", json.at("modality").dump(), kind));
    }
    const auto& options = json.at("options");
    const nlohmann::json known = Options{};
    for (const auto& [key, value] : options.items()) {
      if (known.contains(key) && known[key].is_number_integer() && !value.is_number_integer()) {
        throw DataError(fmt::format("an encoder is described with {} {}, which is no whole number", key, value.dump()));
      }
      if (!known.contains(key)) {
        throw DataError(fmt::format("an encoder is described with the option \"{}\", which this version does not know",
                                    detail::shown(key)));
      }
    }
    return {json.at("name").get<std::string>(), options.template get<Options>()};
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("cannot read an encoder's description: {}", error.what()));
  }
}

}  // namespace

Tensor Backbone::resampled(const std::string& /*name*/, const Tensor& /*stored*/) const {
  return {};
}

Encoded ImageBackbone::encode(const Tensor& images, const EncodeRequest& request) {
  require_nothing(request);
  return {forward(images), {}, {}};
}

Encoded TextBackbone::encode(const Tensor& tokens, const Tensor& mask, const EncodeRequest& request) {
  require_nothing(request);
  return {forward(tokens, mask), {}, {}};
}

BackboneRegistry BackboneRegistry::built_in() {
  BackboneRegistry registry;
  detail::add_picture_families(registry);
  detail::add_text_families(registry);
  detail::add_clip_families(registry);
  return registry;
}

void BackboneRegistry::add_image(std::string name, ImageMaker maker) {
  add(image_, std::move(name), std::move(maker));
}
void BackboneRegistry::add_text(std::string name, TextMaker maker) {
  add(text_, std::move(name), std::move(maker));
}
std::vector<std::string> BackboneRegistry::image_names() const {
  return names_of(image_);
}
std::vector<std::string> BackboneRegistry::text_names() const {
  return names_of(text_);
}

ImageEncoder BackboneRegistry::make_image(const std::string& name, const ImageEncoderOptions& options) const {
  return make(image_, "image", name, options);
}

TextEncoder BackboneRegistry::make_text(const std::string& name, const TextEncoderOptions& options) const {
  return make(text_, "text", name, options);
}

ImageEncoder image_encoder(const std::string& name, const ImageEncoderOptions& options,
                           const BackboneRegistry& registry) {
  return registry.make_image(name, options);
}

TextEncoder text_encoder(const std::string& name, const TextEncoderOptions& options, const BackboneRegistry& registry) {
  return registry.make_text(name, options);
}

ImageEncoder image_encoder_from_json(std::string_view json, const BackboneRegistry& registry) {
  const auto [name, options] = parse<ImageEncoderOptions>(json, "image");
  return registry.make_image(name, options);
}

TextEncoder text_encoder_from_json(std::string_view json, const BackboneRegistry& registry) {
  const auto [name, options] = parse<TextEncoderOptions>(json, "text");
  return registry.make_text(name, options);
}

}  // namespace sslmeme
