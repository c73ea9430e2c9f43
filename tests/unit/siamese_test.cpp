#include <sslmeme/core/error.hpp>
#include <sslmeme/loss/compose.hpp>
#include <sslmeme/loss/cosine.hpp>
#include <sslmeme/loss/info_nce.hpp>
#include <sslmeme/loss/moco.hpp>
#include <sslmeme/method/recipes.hpp>
#include <sslmeme/method/siamese.hpp>
#include <sslmeme/nn/weights.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <torch/optim.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "close_to.hpp"

namespace sm = sslmeme;
using sm::Tensor;
using sm::test::AllCloseTo;

namespace {

sm::ImageEncoder vit() {
  return sm::image_encoder("vit_tiny_patch16_224", {.image_size = 16, .patch_size = 8, .width = 24, .depth = 1});
}

sm::Batch make_batch() {
  sm::Batch batch;
  batch.views = {torch::randn({6, 3, 16, 16}), torch::randn({6, 3, 16, 16})};
  batch.ids = torch::arange(6);
  return batch;
}

/// The user's loss of DESIGN.md.
struct AlignUniform {
  double uniform_weight = 1.0;
  Tensor operator()(const Tensor& z_a, const Tensor& z_b) const {
    const auto a = sm::l2_normalize(z_a), b = sm::l2_normalize(z_b);
    return (a - b).pow(2).sum(1).mean() + uniform_weight * torch::pdist(a).pow(2).mul(-2).exp().mean().log();
  }
};

}  // namespace

TEST_CASE("Siamese compares two views of one encoder by the loss it was given") {
  const auto encoder = vit();
  const auto batch = make_batch();
  sm::Siamese method{encoder, sm::projection({.out = 8}), AlignUniform{.uniform_weight = 0.5}};
  CHECK(method.views_required() == 2);
  const auto weight = method.module()->named_parameters()["nodes.image.projection.proj.weight"];
  REQUIRE(weight.sizes() == torch::IntArrayRef({8, 24}));
  const auto a = encoder->forward(batch.views[0]).matmul(weight.t()),
             b = encoder->forward(batch.views[1]).matmul(weight.t());
  const auto output = method.step(batch, {});
  CHECK_THAT(output.total, AllCloseTo(AlignUniform{.uniform_weight = 0.5}(a, b), sm::test::fp32_rounding));
  REQUIRE(output.features.size() == 1);
  CHECK_THAT(output.features[0].second, AllCloseTo(a, sm::test::fp32_rounding));
  CHECK(method.encoder() == encoder);
}

TEST_CASE("The state of the loss is part of the method's, and is updated") {
  const sm::InfoNce loss;
  sm::Siamese method{vit(), {.out = 8}, sm::CosineLoss{} + loss};
  auto parameters = method.module()->named_parameters();
  REQUIRE(parameters.contains("loss.1.log_scale"));
  CHECK(parameters.contains("nodes.image.encoder.cls_token"));
  CHECK(parameters.contains("nodes.image.projection.proj.weight"));
  const torch::NoGradGuard no_grad;
  parameters["loss.1.log_scale"].fill_(10);
  method.after_step({}, {});
  CHECK(loss.scale() < 101);
  CHECK(method.step(make_batch(), {}).parts.size() == 2);
}

TEST_CASE("What Siamese cannot work with is refused") {
  using Catch::Matchers::Message;
  CHECK_THROWS_MATCHES((sm::Siamese{nullptr, {}, sm::CosineLoss{}}), sm::InvalidArgument,
                       Message("Siamese needs an encoder"));
  sm::Siamese method{vit(), {}, sm::CosineLoss{}};
  auto batch = make_batch();
  batch.views.pop_back();
  CHECK_THROWS_MATCHES(method.step(batch, {}), sm::InvalidArgument,
                       Message("\"Siamese\" needs view 1, the batch has 1: give the loader more views"));
}

TEST_CASE("Siamese describes itself") {
  const auto json = nlohmann::json::parse(sm::Siamese{vit(), {.out = 8}, sm::InfoNce{}}.describe());
  CHECK(json.at("method") == "siamese");
  CHECK(json.at("loss") == "info_nce");
  const auto& node = json.at("nodes").at("image");
  CHECK(node.at("projection").at("out") == 8);
  CHECK(node.at("encoder").at("name") == "vit_tiny_patch16_224");
  CHECK_FALSE(json.at("nodes").contains("teacher"));
}

TEST_CASE("Siamese tells its loss the ids and the step") {
  const auto batch = make_batch();
  const sm::Siamese plain{vit(), sm::projection({.out = 8}), sm::CosineLoss{}};
  sm::Siamese ramp{plain.encoder(), sm::projection({.out = 8}),
                   sm::LinearWeight{.from = 1, .to = 3} * sm::CosineLoss{}};
  const auto total = [&](std::int64_t step) {
    return ramp.step(batch, {.step = step, .total_steps = 10}).total.item<double>();
  };
  CHECK(std::abs(total(10) - 3 * total(0)) < 1e-4);

  auto twins = batch;
  twins.ids = torch::tensor({0, 1, 0, 3, 4, 5}, torch::kLong);
  sm::Siamese masking{plain.encoder(), sm::projection({.out = 8}), sm::InfoNce{{.mask_duplicates = true}}};
  CHECK(masking.step(twins, {}).total.item<double>() < masking.step(batch, {}).total.item<double>());
}

TEST_CASE("A symmetric loss is the mean of both directions") {
  const auto encoder = vit();
  const auto batch = make_batch();
  sm::Siamese method{encoder, sm::projection({.out = 8}), sm::MocoV3Loss{}, {.symmetric = true}};
  const auto weight = method.module()->named_parameters()["nodes.image.projection.proj.weight"];
  const auto a = encoder->forward(batch.views[0]).matmul(weight.t()),
             b = encoder->forward(batch.views[1]).matmul(weight.t());
  const sm::MocoV3Loss loss;
  const auto output = method.step(batch, {});
  CHECK_THAT(output.total, AllCloseTo(0.5 * (loss(a, b) + loss(b, a)), sm::test::fp32_rounding));
  CHECK_THAT(output.parts.at(0).second, AllCloseTo(output.total, sm::test::fp32_rounding));
}

TEST_CASE("A teacher begins as a copy, gets no gradient and follows") {
  const auto encoder = vit(), teacher = vit();
  const auto batch = make_batch();
  sm::Siamese method{encoder,
                     sm::projection({.out = 8}),
                     sm::MocoLoss{{.queue = 24, .dim = 8}},
                     {.symmetric = true, .teacher = teacher, .momentum = 0.9, .final_momentum = 0.5}};
  auto parameters = method.module()->named_parameters();
  const auto own = parameters["nodes.image.projection.proj.weight"],
             of_teacher = parameters["nodes.teacher.projection.proj.weight"];
  CHECK(torch::equal(own, of_teacher));
  const auto output = method.step(batch, {});
  output.total.backward();
  CHECK(own.grad().defined());
  CHECK_FALSE(of_teacher.grad().defined());
  // The teacher is a copy yet: what they agree on is how alike the two views are to it.
  const auto samples = method.represent(batch, {});
  const auto z = sm::l2_normalize(sm::detail::find_tensor(samples, "z0")),
             t = sm::l2_normalize(sm::detail::find_tensor(samples, "t1"));
  CHECK(output.parts.back().first == "agreement");
  CHECK_THAT(output.parts.back().second, AllCloseTo((z * t).sum(1).mean(), sm::test::fp32_rounding));
  CHECK_FALSE(output.parts.back().second.requires_grad());
  CHECK_FALSE(of_teacher.requires_grad());
  // The queue takes the keys of both directions: 12 of its 24 rows.
  const auto queue = method.module()->named_buffers()["loss.queue"];
  const auto before = queue.clone();
  const auto weight_before = of_teacher.clone();
  {
    const torch::NoGradGuard no_grad;
    own.add_(1);
  }
  method.after_step({.step = 11, .total_steps = 20}, output);  // the step done was number 10, half way
  CHECK((queue != before).any(1).sum().item<int>() == 12);
  CHECK_THAT(of_teacher, AllCloseTo(0.7 * weight_before + 0.3 * own, sm::test::fp32_rounding));
  const auto json = nlohmann::json::parse(method.describe());
  CHECK(json.at("nodes").at("teacher").at("encoder").at("name") == "vit_tiny_patch16_224");

  CHECK_THROWS_AS((sm::Siamese{encoder, {}, sm::CosineLoss{}, {.teacher = encoder}}), sm::InvalidArgument);
  CHECK_THROWS_AS((sm::Siamese{encoder, {}, sm::CosineLoss{}, {.momentum = 1.5}}), sm::InvalidArgument);
}

TEST_CASE("SimCLR, SimSiam, BYOL and MoCo v3 are Siamese with their losses, and learn") {
  const sm::SiameseRecipeOptions small{.dim = 8, .hidden = 16};
  const auto batch = make_batch();
  std::vector<sm::Siamese> methods{sm::simclr(vit(), small), sm::simsiam(vit(), small), sm::byol(vit(), vit(), small),
                                   sm::moco_v3(vit(), vit(), small)};
  const std::vector<std::string> losses{"nt_xent", "predicted(simsiam)", "predicted(byol)", "predicted(moco_v3)"};
  for (std::size_t i = 0; i < methods.size(); ++i) {
    auto& method = methods[i];
    const auto json = nlohmann::json::parse(method.describe());
    CHECK(json.at("loss") == losses[i]);
    CHECK(json.at("symmetric") == (i > 0));
    CHECK(static_cast<bool>(method.teacher()) == (i > 1));
    std::vector<Tensor> learned;
    for (const auto& parameter : method.module()->parameters()) {
      if (parameter.requires_grad()) learned.push_back(parameter);
    }
    torch::optim::SGD optimizer{learned, 0.05};
    double first = 0, last = 0;
    for (int step = 0; step < 30; ++step) {
      const auto output = method.step(batch, {});
      last = output.total.item<double>();
      if (step == 0) first = last;
      optimizer.zero_grad();
      output.total.backward();
      optimizer.step();
      method.after_step({.step = step + 1, .total_steps = 30}, output);
    }
    CHECK(last < first);
  }
}
