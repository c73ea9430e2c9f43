#include <sslmeme/nn/backbone.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/nn/bert.hpp>
#include <sslmeme/nn/resnet.hpp>
#include <sslmeme/nn/vit.hpp>

#include "core/near_names.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sslmeme {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ImageEncoderOptions, image_size, patch_size, width, depth, num_classes, seed,
                                   dynamic_img_size)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TextEncoderOptions, vocabulary_size, max_tokens, width, depth, dropout, seed)

namespace {

std::int64_t value_or(std::int64_t value, std::int64_t fallback) {
  if (value < 0)
    throw InvalidArgument(
        fmt::format("an encoder option is {}; sizes must be positive, 0 takes the name's own", value));
  return value > 0 ? value : fallback;
}

BackboneRegistry::ImageMaker resnet_maker(ResNetOptions family) {
  return [family](const ImageEncoderOptions& o) {
    auto options = family;
    options.width = value_or(o.width, family.width);
    options.num_classes = value_or(o.num_classes, 0);
    if (value_or(o.depth, 0) > 0) options.blocks.fill(o.depth);
    if (o.patch_size != 0) throw InvalidArgument("a ResNet has no patches: leave ImageEncoderOptions::patch_size at 0");
    return make_resnet(options);
  };
}

BackboneRegistry::ImageMaker vit_maker(VitOptions family) {
  return [family](const ImageEncoderOptions& o) {
    auto options = family;
    options.image_size = value_or(o.image_size, family.image_size);
    options.patch_size = value_or(o.patch_size, family.patch_size);
    options.width = value_or(o.width, family.width);
    options.depth = value_or(o.depth, family.depth);
    options.num_classes = value_or(o.num_classes, 0);
    options.dynamic_img_size = o.dynamic_img_size;
    return make_vit(options);
  };
}

BackboneRegistry::TextMaker bert_maker(BertOptions family) {
  return [family](const TextEncoderOptions& o) {
    auto options = family;
    options.vocabulary_size = value_or(o.vocabulary_size, family.vocabulary_size);
    options.max_tokens = value_or(o.max_tokens, family.max_tokens);
    options.width = value_or(o.width, family.width);
    options.depth = value_or(o.depth, family.depth);
    options.mlp_width = options.width * (family.mlp_width / family.width);
    options.dropout = o.dropout;
    return make_bert(options);
  };
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
    return {json.at("name").get<std::string>(), json.at("options").get<Options>()};
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("cannot read an encoder's description: {}", error.what()));
  }
}

}  // namespace

BackboneRegistry BackboneRegistry::built_in() {
  BackboneRegistry registry;
  registry.add_image("resnet18", resnet_maker({.blocks = {2, 2, 2, 2}}));
  registry.add_image("resnet34", resnet_maker({.blocks = {3, 4, 6, 3}}));
  registry.add_image("resnet50", resnet_maker({.blocks = {3, 4, 6, 3}, .bottleneck = true}));
  for (const std::int64_t size : {224, 384}) {
    registry.add_image(fmt::format("vit_tiny_patch16_{}", size),
                       vit_maker({.image_size = size, .width = 192, .heads = 3}));
    registry.add_image(fmt::format("vit_small_patch16_{}", size),
                       vit_maker({.image_size = size, .width = 384, .heads = 6}));
    registry.add_image(fmt::format("vit_base_patch16_{}", size),
                       vit_maker({.image_size = size, .width = 768, .heads = 12}));
  }
  registry.add_text("bert_base", bert_maker({}));
  registry.add_text("minilm_l6",
                    bert_maker({.width = 384, .depth = 6, .heads = 12, .mlp_width = 1536, .pooling = Pooling::mean}));
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
