#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/clip.hpp>

#include "nn/families.hpp"

#include <fmt/format.h>

namespace sslmeme::detail {
namespace {

constexpr std::int64_t head_width = 64;  ///< open_clip's: a picture tower of another width has another number of heads

void refuse(bool given, const char* option, const char* remedy) {
  if (given) throw InvalidArgument(fmt::format("CLIP's towers have no {}: {}", option, remedy));
}

void refuse_options_of_timm(const ImageEncoderOptions& o) {
  refuse(o.num_classes != 0, "classifier",
         "leave ImageEncoderOptions::num_classes at 0 and put a head on the features");
  refuse(o.dynamic_img_size, "dynamic_img_size", "give the size of the pictures as image_size");
  refuse(o.norm_eps.has_value(), "norm_eps", "leave it unset, their layer norms have 1e-5");
  refuse(o.drop_rate != 0, "drop_rate", "leave it at 0");
  refuse(o.pos_drop_rate != 0, "pos_drop_rate", "leave it at 0");
  refuse(o.proj_drop_rate != 0, "proj_drop_rate", "leave it at 0");
  refuse(o.attn_drop_rate != 0, "attn_drop_rate", "leave it at 0");
  refuse(o.drop_path_rate != 0, "drop_path_rate", "leave it at 0");
}

std::int64_t heads_of(std::int64_t width, const char* what) {
  if (width < head_width) {
    throw InvalidArgument(
        fmt::format("{} is {}, less than one of CLIP's heads, which are {} wide", what, width, head_width));
  }
  return width / head_width;
}

BackboneRegistry::ImageMaker vit_maker(ClipVitOptions family) {
  return [family](const ImageEncoderOptions& o) {
    refuse_options_of_timm(o);
    auto options = family;
    options.image_size = value_or(o.image_size, family.image_size, "image_size");
    options.patch_size = value_or(o.patch_size, family.patch_size, "patch_size");
    options.width = value_or(o.width, family.width, "width");
    options.depth = value_or(o.depth, family.depth, "depth");
    options.heads = heads_of(options.width, "the width");
    options.pooling = o.pooling.value_or(family.pooling);
    options.patch_drop_rate = o.patch_drop_rate;
    return make_clip_vit(options);
  };
}

BackboneRegistry::ImageMaker resnet_maker(ClipResNetOptions family) {
  return [family](const ImageEncoderOptions& o) {
    refuse_options_of_timm(o);
    if (o.patch_size != 0 || o.patch_drop_rate != 0) {
      throw InvalidArgument("CLIP's ResNet has no patches: leave patch_size and patch_drop_rate at 0");
    }
    if (o.pooling) throw InvalidArgument("CLIP's ResNet pools by attention: leave ImageEncoderOptions::pooling unset");
    auto options = family;
    options.image_size = value_or(o.image_size, family.image_size, "image_size");
    options.width = value_or(o.width, family.width, "width");
    options.heads = heads_of(32 * options.width, "32 times the width");
    if (value_or(o.depth, 0, "depth") > 0) options.blocks.fill(o.depth);
    return make_clip_resnet(options);
  };
}

BackboneRegistry::TextMaker text_maker(ClipTextOptions family) {
  return [family](const TextEncoderOptions& o) {
    refuse(o.dropout.value_or(0) != 0 || o.attention_dropout.value_or(0) != 0, "dropout",
           "leave TextEncoderOptions::dropout and attention_dropout unset");
    if (o.pooling) {
      throw InvalidArgument("CLIP's text tower pools at the end of the text: leave TextEncoderOptions::pooling unset");
    }
    auto options = family;
    options.vocabulary_size = value_or(o.vocabulary_size, family.vocabulary_size, "vocabulary_size");
    options.max_tokens = value_or(o.max_tokens, family.max_tokens, "max_tokens");
    options.width = value_or(o.width, family.width, "width");
    options.depth = value_or(o.depth, family.depth, "depth");
    return make_clip_text(options);
  };
}

}  // namespace

void add_clip_families(BackboneRegistry& registry) {
  for (const bool quick : {false, true}) {
    const auto* const ending = quick ? "-quickgelu" : "";
    for (const std::int64_t patch : {16, 32}) {
      const auto name = fmt::format("ViT-B-{}{}", patch, ending);
      registry.add_image(name, vit_maker({.patch_size = patch, .quick_gelu = quick}));
      registry.add_text(name, text_maker({.quick_gelu = quick}));
    }
    // The picture tower of RN50 has no GELU, its text tower has.
    registry.add_image(fmt::format("RN50{}", ending), resnet_maker({}));
    registry.add_text(fmt::format("RN50{}", ending), text_maker({.embed_dim = 1024, .quick_gelu = quick}));
  }
}

}  // namespace sslmeme::detail
