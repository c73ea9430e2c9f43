#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/resnet.hpp>
#include <sslmeme/nn/vit.hpp>

#include "nn/families.hpp"

#include <fmt/format.h>

namespace sslmeme::detail {
namespace {

void refuse(bool is_set, const char* option, const char* lacking = "patches and no attention") {
  if (is_set) {
    throw InvalidArgument(fmt::format("a ResNet has no {}: leave ImageEncoderOptions::{} unset", lacking, option));
  }
}

BackboneRegistry::ImageMaker resnet_maker(ResNetOptions family) {
  return [family](const ImageEncoderOptions& o) {
    auto options = family;
    options.width = value_or(o.width, family.width, "width");
    options.num_classes = value_or(o.num_classes, 0, "num_classes");
    if (value_or(o.depth, 0, "depth") > 0) options.blocks.fill(o.depth);
    options.image_size = value_or(o.image_size, family.image_size, "image_size");
    options.drop_rate = o.drop_rate;
    options.drop_path_rate = o.drop_path_rate;
    refuse(o.patch_size != 0, "patch_size");
    refuse(o.norm_eps.has_value(), "norm_eps", "layer norm");
    refuse(o.pos_drop_rate != 0, "pos_drop_rate");
    refuse(o.pooling.has_value(), "pooling");
    refuse(o.proj_drop_rate != 0, "proj_drop_rate");
    refuse(o.attn_drop_rate != 0, "attn_drop_rate");
    refuse(o.patch_drop_rate != 0, "patch_drop_rate");
    return make_resnet(options);
  };
}

BackboneRegistry::ImageMaker vit_maker(VitOptions family) {
  return [family](const ImageEncoderOptions& o) {
    auto options = family;
    options.image_size = value_or(o.image_size, family.image_size, "image_size");
    options.patch_size = value_or(o.patch_size, family.patch_size, "patch_size");
    options.width = value_or(o.width, family.width, "width");
    options.depth = value_or(o.depth, family.depth, "depth");
    options.num_classes = value_or(o.num_classes, 0, "num_classes");
    options.dynamic_img_size = o.dynamic_img_size;
    options.pooling = o.pooling.value_or(family.pooling);
    options.norm_eps = o.norm_eps.value_or(family.norm_eps);
    options.drop_rate = o.drop_rate;
    options.pos_drop_rate = o.pos_drop_rate;
    options.patch_drop_rate = o.patch_drop_rate;
    options.proj_drop_rate = o.proj_drop_rate;
    options.attn_drop_rate = o.attn_drop_rate;
    options.drop_path_rate = o.drop_path_rate;
    return make_vit(options);
  };
}

}  // namespace

std::int64_t value_or(std::int64_t value, std::int64_t fallback, const char* name) {
  if (value < 0) {
    throw InvalidArgument(
        fmt::format("the encoder's {} is {}; it must be positive, or 0 for what the name says", name, value));
  }
  return value > 0 ? value : fallback;
}

void add_picture_families(BackboneRegistry& registry) {
  registry.add_image("resnet18", resnet_maker({.blocks = {2, 2, 2, 2}}));
  registry.add_image("resnet34", resnet_maker({.blocks = {3, 4, 6, 3}}));
  registry.add_image("resnet50", resnet_maker({.blocks = {3, 4, 6, 3}, .bottleneck = true}));
  registry.add_image("resnet101", resnet_maker({.blocks = {3, 4, 23, 3}, .bottleneck = true}));
  for (const std::int64_t size : {224, 384}) {
    registry.add_image(fmt::format("vit_tiny_patch16_{}", size),
                       vit_maker({.image_size = size, .width = 192, .heads = 3}));
    registry.add_image(fmt::format("vit_small_patch16_{}", size),
                       vit_maker({.image_size = size, .width = 384, .heads = 6}));
    registry.add_image(fmt::format("vit_base_patch16_{}", size),
                       vit_maker({.image_size = size, .width = 768, .heads = 12}));
    registry.add_image(fmt::format("vit_base_patch32_{}", size),
                       vit_maker({.image_size = size, .patch_size = 32, .width = 768, .heads = 12}));
  }
}

}  // namespace sslmeme::detail
