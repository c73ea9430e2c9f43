// The backbone of docs/extend/backbone.md, tried through the registry.
#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/backbone.hpp>

#include <torch/nn/modules/linear.h>
#include <catch2/catch_test_macros.hpp>

#include <memory>

namespace sm = sslmeme;

namespace {

// [backbone]
/// Mean colour of each quarter of the picture through one linear layer: (N, 3, H, W) → (N, width).
class QuarterColours final : public sm::ImageBackbone {
 public:
  explicit QuarterColours(std::int64_t width)
      : layer_{register_module("layer", torch::nn::Linear(12, width))}, width_{width} {
    if (width <= 0)
      throw sm::InvalidArgument("quarter_colours: width is " + std::to_string(width) + "; it must be positive");
  }

  std::int64_t feature_dim() const override { return width_; }

  sm::Tensor forward(const sm::Tensor& images) override {
    return layer_->forward(torch::adaptive_avg_pool2d(images, {2, 2}).flatten(1));
  }

 private:
  torch::nn::Linear layer_;
  std::int64_t width_;
};
// [/backbone]

sm::BackboneRegistry with_quarter_colours() {
  // [registry]
  auto registry = sm::BackboneRegistry::built_in();
  registry.add_image("quarter_colours", [](const sm::ImageEncoderOptions& options) -> sm::ImageEncoder {
    return std::make_shared<QuarterColours>(options.width == 0 ? 64 : options.width);
  });
  const auto encoder = sm::image_encoder("quarter_colours", {.width = 16}, registry);
  // [/registry]
  CHECK(encoder->feature_dim() == 16);
  return registry;
}

TEST_CASE("a backbone of one's own is made by name, with the options given and from its description") {
  const auto registry = with_quarter_colours();
  const auto encoder = sm::image_encoder("quarter_colours", {}, registry);
  CHECK(encoder->forward(torch::rand({2, 3, 20, 20})).sizes() == torch::IntArrayRef{2, 64});
  const auto again = sm::image_encoder_from_json(
      sm::image_encoder("quarter_colours", {.width = 16}, registry)->description(), registry);
  CHECK(again->feature_dim() == 16);
  CHECK_THROWS_AS(sm::image_encoder("quarter_colours"), sm::InvalidArgument);
}

}  // namespace
