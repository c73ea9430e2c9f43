#include <sslmeme/core/error.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/nn/fusion.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <torch/optim/adam.h>

#include <map>
#include <string>
#include <utility>

#include "close_to.hpp"
#include "state.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Message;
using Catch::Matchers::MessageMatches;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::by_name;

namespace {

/// √d · x W / ‖x W‖
Tensor mapped(const std::map<std::string, Tensor>& w, const std::string& name, const Tensor& x) {
  const auto y = x.matmul(w.at(name + ".linear.weight").t()) + w.at(name + ".linear.bias");
  return y / y.norm(2, 1, true) * std::sqrt(static_cast<double>(y.size(1)));
}

/// One hidden layer, as FusionOptions has it by default.
Tensor mlp(const std::map<std::string, Tensor>& w, const Tensor& fused) {
  const auto hidden = (fused.matmul(w.at("mlp.0.weight").t()) + w.at("mlp.0.bias")).relu();
  return (hidden.matmul(w.at("mlp.3.weight").t()) + w.at("mlp.3.bias")).squeeze(1);
}

}  // namespace

TEST_CASE("Every fusion computes what its formula says") {
  const auto image = torch::randn({5, 7}), text = torch::randn({5, 4});
  for (const auto kind : {sm::FusionKind::concat, sm::FusionKind::align, sm::FusionKind::cross}) {
    const auto head = sm::make_fusion_head(7, 4, {.kind = kind, .dim = 6, .hidden = 3});
    head->eval();
    const auto w = by_name(*head);
    const auto u = mapped(w, "image_map", image), v = mapped(w, "text_map", text);
    Tensor fused = torch::cat({u, v}, 1);
    if (kind == sm::FusionKind::align) fused = u * v;
    if (kind == sm::FusionKind::cross) fused = torch::einsum("ni,nj->nij", {u, v}).reshape({5, 36});
    const auto logits = head->forward(image, text);
    CHECK(logits.sizes() == torch::IntArrayRef({5}));
    CHECK_THAT(logits, AllCloseTo(mlp(w, fused), {1e-4, 1e-5}));
    head->train();
    CHECK_FALSE(torch::allclose(head->forward(image, text), logits));  // dropout
  }
}

TEST_CASE("One modality alone is its own fusion, and the other is not looked at") {
  const auto x = torch::randn({5, 7});
  for (const auto kind : {sm::FusionKind::cross, sm::FusionKind::cmaf}) {
    const auto from_image = sm::make_fusion_head(7, 0, {.kind = kind, .dim = 6});
    from_image->eval();
    const auto weights = by_name(*from_image);
    CHECK_FALSE(weights.contains("text_map.linear.weight"));
    CHECK_FALSE(weights.contains("attention.query.weight"));
    CHECK_THAT(from_image->forward(x, {}), AllCloseTo(mlp(weights, mapped(weights, "image_map", x)), {1e-4, 1e-5}));
  }
  const auto from_text = sm::make_fusion_head(0, 7, {.dim = 6});
  from_text->eval();
  const auto w = by_name(*from_text);
  CHECK_THAT(from_text->forward({}, x), AllCloseTo(mlp(w, mapped(w, "text_map", x)), {1e-4, 1e-5}));
}

TEST_CASE("The number and width of layers are options, and so are the initial weights") {
  const auto w = by_name(*sm::make_fusion_head(7, 4, {.dim = 6, .hidden = 5, .layers = 2}));
  CHECK(w.at("mlp.0.weight").sizes() == torch::IntArrayRef({5, 6}));
  CHECK(w.at("mlp.3.weight").sizes() == torch::IntArrayRef({5, 5}));
  CHECK(w.at("mlp.6.weight").sizes() == torch::IntArrayRef({1, 5}));
  CHECK(by_name(*sm::make_fusion_head(7, 4, {.dim = 6, .layers = 0})).at("mlp.0.weight").sizes() ==
        torch::IntArrayRef({1, 6}));
  const auto without = sm::make_fusion_head(7, 4, {.kind = sm::FusionKind::concat, .dim = 6, .layers = 0});
  CHECK(without->embedding_dim() == 12);  // the fused features
  CHECK(without->fuse(torch::randn({3, 7}), torch::randn({3, 4})).embedding.sizes() == torch::IntArrayRef({3, 12}));
  CHECK(sm::make_fusion_head(7, 4, {.kind = sm::FusionKind::cmaf, .dim = 1})->embedding_dim() == 1);
  const auto first = [](std::uint64_t seed) {
    return by_name(*sm::make_fusion_head(7, 4, {.seed = seed})).at("mlp.0.weight");
  };
  CHECK(torch::equal(first(1), first(1)));
  CHECK_FALSE(torch::equal(first(1), first(2)));
}

TEST_CASE("Fusions have names") {
  CHECK(sm::fusion_kind("concat") == sm::FusionKind::concat);
  CHECK(sm::fusion_kind("align") == sm::FusionKind::align);
  CHECK(sm::fusion_kind("cross") == sm::FusionKind::cross);
  CHECK(sm::fusion_kind("cmaf") == sm::FusionKind::cmaf);
  for (const auto* name : {"concat", "align", "cross", "cmaf"}) CHECK(sm::name_of(sm::fusion_kind(name)) == name);
  CHECK_THROWS_MATCHES(sm::fusion_kind("alin"), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("no fusion is called \"alin\"; did you mean: align")));
}

TEST_CASE("Options that cannot work are refused") {
  CHECK_THROWS_MATCHES(sm::make_fusion_head(0, 0), sm::InvalidArgument,
                       Message("a fusion head needs picture features, text features or both"));
  CHECK_THROWS_MATCHES(sm::make_fusion_head(7, 4, {.dim = 0}), sm::InvalidArgument,
                       Message("FusionOptions::dim is 0; it must be positive"));
  CHECK_THROWS_MATCHES(sm::make_fusion_head(7, 4, {.fusion_dropout = 1}), sm::InvalidArgument,
                       Message("FusionOptions::fusion_dropout is 1; it must be in [0, 1)"));
  CHECK_THROWS_AS(sm::make_fusion_head(7, 4, {.map_dropout = -0.1}), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::make_fusion_head(7, 4, {.layer_dropout = NAN}), sm::InvalidArgument);
  CHECK_THROWS_AS(sm::make_fusion_head(7, 4, {.layers = -1}), sm::InvalidArgument);
}

TEST_CASE("A batch of one has no statistics: refused in training, fine in evaluation") {
  const auto head = sm::make_fusion_head(7, 4, {.norm = sm::FusionNorm::batch});
  const auto image = torch::randn({1, 7}), text = torch::randn({1, 4});
  CHECK_THROWS_MATCHES(head->forward(image, text), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("got a batch of 1; it needs 2 or more samples")));
  head->eval();
  CHECK(head->forward(image, text).sizes() == torch::IntArrayRef({1}));
}

namespace {

/// Features whose first entry is the modality's bit, as a sign; the rest is noise. The label is the exclusive or.
struct Xor {
  explicit Xor(std::int64_t n) {
    const auto bits = torch::randint(0, 2, {n, 2});
    labels = bits.select(1, 0).ne(bits.select(1, 1)).to(torch::kFloat);
    image = torch::cat({2 * bits.narrow(1, 0, 1).to(torch::kFloat) - 1, 0.3 * torch::randn({n, 5})}, 1);
    text = torch::cat({2 * bits.narrow(1, 1, 1).to(torch::kFloat) - 1, 0.3 * torch::randn({n, 3})}, 1);
  }
  Tensor image, text, labels;
};

/// The share of fresh samples that a head gets right after 150 steps of a batch of 64.
double learned(const sm::FusionOptions& options) {
  const auto head = sm::make_fusion_head(6, 4, options);
  torch::optim::Adam adam{head->parameters(), torch::optim::AdamOptions(0.01)};
  for (int step = 0; step < 150; ++step) {
    const Xor batch{64};
    adam.zero_grad();
    torch::binary_cross_entropy_with_logits(head->forward(batch.image, batch.text), batch.labels).backward();
    adam.step();
  }
  head->eval();
  const Xor fresh{400};
  return (head->forward(fresh.image, fresh.text) > 0).eq(fresh.labels > 0.5).to(torch::kFloat).mean().item<double>();
}

}  // namespace

TEST_CASE("In bf16 every head gives the logits of fp32, to bf16's rounding") {
  const auto image = torch::randn({64, 96}), text = torch::randn({64, 48});
  for (const auto norm : {sm::FusionNorm::l2, sm::FusionNorm::batch}) {
    for (const auto* name : {"concat", "align", "cross", "cmaf"}) {
      INFO(name << (norm == sm::FusionNorm::l2 ? ", l2" : ", batch"));
      const auto head = sm::make_fusion_head(96, 48, {.kind = sm::fusion_kind(name), .norm = norm, .dim = 32});
      head->eval();
      const auto exact = head->forward(image, text);
      const sm::Autocast in_bf16{sm::Precision::bf16, torch::kCPU};
      CHECK_THAT(head->forward(image, text), AllCloseTo(exact, {0.02, 0.02}));
    }
  }
}

TEST_CASE("Every head learns what neither modality says alone, but for one that only adds them up") {
  using enum sm::FusionKind;
  for (const auto norm : {sm::FusionNorm::l2, sm::FusionNorm::batch}) {
    for (const auto kind : {concat, align, cross, cmaf}) {
      INFO(sm::name_of(kind) << (norm == sm::FusionNorm::l2 ? ", l2" : ", batch"));
      CHECK(learned({.kind = kind, .norm = norm, .dim = 16, .fusion_dropout = 0.1}) > 0.95);
    }
    CHECK(learned({.kind = concat, .norm = norm, .dim = 16, .layers = 0}) < 0.85);
  }
}
