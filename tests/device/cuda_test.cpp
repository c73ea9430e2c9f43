// What runs on the processor runs on a CUDA device too, and gives the same. Skipped where there is none.
#include <sslmeme/eval/neighbour_vote.hpp>
#include <sslmeme/eval/predict.hpp>
#include <sslmeme/method/dino.hpp>
#include <sslmeme/method/recipes.hpp>
#include <sslmeme/method/retrieval_guided.hpp>
#include <sslmeme/method/supervised.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/text/wordpiece.hpp>

#include <catch2/catch_test_macros.hpp>

#include <ATen/Context.h>
#include <torch/autograd.h>
#include <torch/cuda.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "close_to.hpp"
#include "every_loss.hpp"
#include "files.hpp"
#include "state.hpp"
#include "tiny_run.hpp"

namespace sm = sslmeme;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::Inputs;
using sm::test::Tolerance;

namespace {

/// Skips the case without a device; with one, convolutions are computed in fp32, not in TF32, and the same way each
/// time. What they are compared with is LibTorch's plain code for the processor, without oneDNN.
void need_cuda() {
  if (!torch::cuda::is_available()) SKIP("no CUDA device");
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setDeterministicCuDNN(true);
  at::globalContext().setUserEnabledMkldnn(false);
}

Inputs copies(const Inputs& inputs, const torch::Device& device) {
  Inputs all;
  for (const auto& x : inputs) all.push_back(x.detach().to(device).requires_grad_());
  return all;
}

/// A value and the gradient of each input.
struct Differentiated {
  Tensor value;
  std::vector<Tensor> gradients;
};
Differentiated differentiate(const sm::test::LossCase& of, const torch::Device& device) {
  const auto inputs = copies(of.inputs, device);
  if (of.module) of.module->to(device);
  const auto value = of.loss(inputs);
  return {value.detach(), torch::autograd::grad({value}, inputs, {}, {}, false, /*allow_unused=*/true)};
}

void check_same(const Differentiated& there, const Differentiated& here, Tolerance value, Tolerance gradient) {
  CHECK(there.value.is_cuda());
  CHECK_THAT(there.value, AllCloseTo(here.value, value));
  for (std::size_t i = 0; i < here.gradients.size(); ++i) {
    INFO("input " << i);
    REQUIRE(there.gradients[i].defined() == here.gradients[i].defined());
    if (here.gradients[i].defined()) CHECK_THAT(there.gradients[i], AllCloseTo(here.gradients[i], gradient));
  }
}

/// Two classes of noise that a classifier can tell apart by their brightness, with words that say nothing.
struct Shades {
  std::size_t size() const { return 64; }
  sm::Sample get(std::size_t i) const {
    sm::Sample sample{sm::Image{16, 16}, i % 3 == 0 ? "a dog" : "the cat sat", {}, static_cast<std::int64_t>(i)};
    sample.label = static_cast<std::int64_t>(i % 2);
    sm::Rng rng{i};
    for (auto& value : sample.picture.pixels) value = static_cast<std::uint8_t>(rng.below(128) + i % 2 * 128);
    return sample;
  }
};

std::shared_ptr<const sm::WordPiece> tokenizer() {
  return std::make_shared<sm::WordPiece>(
      sm::WordPiece::from_vocabulary({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "dog", "cat", "sat"}));
}

sm::ImageEncoder vit() {
  return sm::image_encoder("vit_tiny_patch16_224",
                           {.image_size = 16, .patch_size = 8, .width = 24, .depth = 2, .dynamic_img_size = true});
}
sm::ImageEncoder cnn() {
  return sm::image_encoder("resnet18", {.width = 16, .depth = 1});
}
sm::TextEncoder words() {
  return sm::text_encoder("minilm_l6",
                          {.vocabulary_size = 10, .max_tokens = 8, .width = 24, .depth = 1, .dropout = 0.0});
}

/// The mean loss of each epoch of a short training, without epochs of which every step was skipped.
template <class M>
std::vector<double> losses_of(const M& method, const sm::Views& views, const std::string& device,
                              sm::Precision precision, std::int64_t accumulate = 1, std::int64_t epochs = 3) {
  sm::DataLoader loader{Shades{}, views, {.batch_size = 16, .seed = 5, .tokenizer = tokenizer(), .max_tokens = 8}};
  sm::Trainer trainer{method,
                      {.epochs = epochs,
                       .accumulate = accumulate,
                       .optimizer = sm::AdamW{.lr = 2e-3},
                       .precision = precision,
                       .clip_norm = 1,
                       .device = device}};
  std::vector<double> losses;
  for (const auto& epoch : trainer.fit(loader).history) {
    if (!std::isnan(epoch.loss)) losses.push_back(epoch.loss);
  }
  return losses;
}

/// `make` builds the method anew. In fp32 both devices go the same way; in bfloat16 the device goes nearly so. In fp16
/// it begins later: until the scale has come down to one at which no gradient overflows, steps are skipped.
template <class Make>
void check_training(Make make, const sm::Views& views, std::int64_t accumulate = 1) {
  using enum sm::Precision;
  const auto here = losses_of(make(), views, "cpu", fp32, accumulate);
  for (const auto& [precision, tolerance] : {std::pair{fp32, 2e-3}, std::pair{bf16, 0.1}}) {
    const auto there = losses_of(make(), views, "cuda", precision, accumulate);
    REQUIRE(there.size() == here.size());
    CHECK(there.back() < there.front());
    for (std::size_t i = 0; i < here.size(); ++i) {
      INFO("precision " << static_cast<int>(precision) << ", epoch " << i << ": " << there[i] << ", here " << here[i]);
      CHECK(std::abs(there[i] - here[i]) <= tolerance * std::abs(here[i]) + 1e-3);
    }
  }
  const auto there = losses_of(make(), views, "cuda", fp16, accumulate, 8);
  REQUIRE(there.size() >= 3);
  CHECK(std::abs(there.front() - here.front()) <= 0.2 * std::abs(here.front()));
  CHECK(there.back() < there.front());
}

/// Without dropout, whose dice differ between devices.
sm::Supervised classifier() {
  return {cnn(), words(), {.fusion = {.map_dropout = 0, .fusion_dropout = 0, .layer_dropout = 0}}};
}

}  // namespace

TEST_CASE("Every loss has the same value and gradients on a CUDA device, in fp32 and of bf16") {
  need_cuda();
  torch::manual_seed(0);
  for (auto loss : sm::test::every_loss()) {
    for (const auto type : {torch::kFloat, torch::kBFloat16}) {
      INFO(loss.name << ' ' << type);
      for (auto& x : loss.inputs) x = x.to(type);
      const auto here = differentiate(loss, torch::kCPU), there = differentiate(loss, torch::kCUDA);
      const auto rounding = type == torch::kFloat ? Tolerance{1e-5, 1e-6, 1e-6} : Tolerance{8e-3, 1e-7, 1e-5};
      check_same(there, here, {1e-5, 1e-6}, rounding);
    }
  }
}

TEST_CASE("Losses of more rows than one tile are the same on a CUDA device") {
  need_cuda();
  torch::manual_seed(1);
  const Inputs pair{torch::randn({5000, 32}), torch::randn({5000, 32})};
  const auto of_pair = [&](const sm::AnyPairLoss& loss) {
    INFO(loss.name());
    const sm::test::LossCase of{loss.name(), pair, [&](const Inputs& x) { return loss(x[0], x[1]).total; },
                                loss.module()};
    const auto here = differentiate(of, torch::kCPU);
    check_same(differentiate(of, torch::kCUDA), here, {1e-5}, {1e-3, 1e-10, 1e-5});
  };
  of_pair(sm::InfoNce{});
  of_pair(sm::NtXent{});
  of_pair(sm::SigmoidLoss{});
}

TEST_CASE("Every kind of backbone has the same features and gradients on a CUDA device") {
  need_cuda();
  torch::manual_seed(2);
  const auto compare = [](sm::Backbone& encoder, const auto& forward, const Tensor& like) {
    encoder.eval();
    const auto run = [&](const torch::Device& device) {
      encoder.to(device);
      encoder.zero_grad();
      const auto features = forward(device);
      (features * like.to(device)).sum().backward();
      Differentiated result{features.detach(), {}};
      for (const auto& p : encoder.parameters())
        result.gradients.push_back(p.grad().defined() ? p.grad().clone() : Tensor{});
      return result;
    };
    const auto here = run(torch::kCPU);
    check_same(run(torch::kCUDA), here, {1e-4, 1e-5, 1e-5}, {1e-3, 1e-5, 1e-4});
  };
  const auto picture = torch::randn({4, 3, 64, 64});
  for (const auto* name : {"resnet18", "resnet50", "vit_tiny_patch16_224", "ViT-B-32-quickgelu", "RN50"}) {
    INFO(name);
    const bool residual = std::string{name}.starts_with("res") || std::string{name} == "RN50";
    const auto encoder = sm::image_encoder(name, {.image_size = 64, .depth = residual ? 1 : 2});
    compare(
        *encoder, [&](const torch::Device& device) { return encoder->forward(picture.to(device)); },
        torch::randn({4, encoder->feature_dim()}));
  }
  const auto tokens = torch::randint(5, 90, {4, 12});
  const auto mask = torch::arange(12).unsqueeze(0) < torch::tensor({12, 3, 7, 9}).unsqueeze(1);
  for (const auto* name : {"minilm_l6", "distilbert", "ViT-B-32"}) {
    INFO(name);
    const auto encoder = sm::text_encoder(name, {.vocabulary_size = 100, .depth = 2});
    compare(
        *encoder, [&](const torch::Device& device) { return encoder->forward(tokens.to(device), mask.to(device)); },
        torch::randn({4, encoder->feature_dim()}));
  }
}

TEST_CASE("Every method learns on a CUDA device as on the processor, in half precision too") {
  need_cuda();
  const auto one = sm::eval_views({.size = 16}), two = sm::cass_views({.size = 16});
  SECTION("supervised") {
    check_training(classifier, one);
  }
  SECTION("RGCL") {
    check_training(
        [] {
          auto supervised = classifier();
          sm::RetrievalGuided guided{supervised, {.memory = 64}};
          sm::DataLoader whole{
              Shades{},
              sm::eval_views({.size = 16}),
              {.batch_size = 16, .shuffle = false, .drop_last = false, .tokenizer = tokenizer(), .max_tokens = 8}};
          guided.remember(sm::embed(supervised, whole));
          return guided;
        },
        one);
  }
  SECTION("CLIP") {
    check_training([] { return sm::clip(vit(), words(), {.dim = 16}); }, one);
  }
  SECTION("CLIP, two batches a step") {
    check_training([] { return sm::clip(vit(), words(), {.dim = 16}); }, one, 2);
  }
  SECTION("CASS-MM") {
    check_training([] { return sm::cass_mm(cnn(), vit(), words(), {.dim = 16}); }, one);
  }
  SECTION("BYOL") {
    check_training([] { return sm::byol(cnn(), cnn(), {.dim = 16, .hidden = 32}); }, two);
  }
  SECTION("DINO") {
    check_training(
        [] {
          return sm::dino(vit(), {.head = {.prototypes = 64, .hidden = 32, .bottleneck = 16},
                                  .loss = {.prototypes = 64},
                                  .frozen_epochs = 0,
                                  .views = 4});
        },
        sm::dino_views({.global_size = 16, .local_size = 8, .locals = 2}));
  }
}

TEST_CASE("A run on a CUDA device that was stopped and resumed ends as the one that was not") {
  need_cuda();
  const sm::test::TemporaryFolder folder;
  const auto on_device = [&](const std::string& name, sm::ExistingRun existing = sm::ExistingRun::refuse) {
    auto options = sm::test::options(folder.path / name, existing);
    options.device = "cuda";
    options.precision = sm::Precision::fp16;
    return options;
  };
  const auto on_cpu = [](sm::test::Trained trained) {
    for (auto& [name, tensor] : trained.state) tensor = tensor.cpu();
    return trained;
  };
  const auto whole = on_cpu(sm::test::train(on_device("whole")));
  sm::test::train(on_device("parts"), sm::test::StopAt{7});
  const auto parts = on_cpu(sm::test::train(on_device("parts", sm::ExistingRun::resume)));
  sm::test::check_same(parts, whole, folder.path / "parts");
}

TEST_CASE("Predictions on a CUDA device are those on the processor") {
  need_cuda();
  auto classifier = ::classifier();
  sm::DataLoader loader{
      Shades{},
      sm::eval_views({.size = 16}),
      {.batch_size = 24, .shuffle = false, .drop_last = false, .tokenizer = tokenizer(), .max_tokens = 8}};
  const auto here = sm::predict(classifier, loader);
  classifier.module()->to(torch::kCUDA);
  const auto there = sm::predict(classifier, loader);
  REQUIRE(there.scores.size() == 64);
  CHECK((there.ids == here.ids));
  CHECK_THAT(torch::tensor(there.scores), AllCloseTo(torch::tensor(here.scores), {1e-4, 1e-5}));
}
