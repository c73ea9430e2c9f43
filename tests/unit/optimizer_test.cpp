#include <sslmeme/core/error.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/train/optimizer.hpp>

#include <torch/nn/module.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "close_to.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Message;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinRel;
using sm::Tensor;

namespace {

struct Net : torch::nn::Module {
  Tensor matrix = register_parameter("matrix", torch::ones({2, 3}));
  Tensor bias = register_parameter("bias", torch::ones({3}));
};

void set_gradients(Net& net, double value) {
  net.matrix.mutable_grad() = torch::full_like(net.matrix, value);
  net.bias.mutable_grad() = torch::full_like(net.bias, value);
}

}  // namespace

TEST_CASE("Decay shrinks matrices, never vectors") {
  Net net;
  sm::Optimizer optimizer{net, sm::AdamW{.lr = 1, .weight_decay = 0.5}};
  set_gradients(net, 0);
  optimizer.step(0.1);
  CHECK_THAT(net.matrix[0][0].item<double>(), WithinRel(0.95, 1e-6));
  CHECK(net.bias[0].item<double>() == 1);
}

TEST_CASE("A backbone's positions and class token do not decay, wherever it stands, unless a rule says so") {
  torch::nn::Module method;
  const auto vit =
      sm::image_encoder("vit_tiny_patch16_224", {.image_size = 16, .patch_size = 8, .width = 6, .depth = 1});
  const auto net = std::make_shared<Net>();
  method.register_module("nodes", std::make_shared<torch::nn::Module>())->register_module("image", vit);
  method.register_module("net", net);
  const auto factors = [&](const torch::nn::Module& module, const sm::ParameterGroups& groups) {
    const auto parameters = module.named_parameters();
    {
      const torch::NoGradGuard no_grad;
      for (const auto& item : parameters) {
        item.value().fill_(1);
        item.value().mutable_grad() = torch::zeros_like(item.value());
      }
    }
    sm::Optimizer optimizer{module, sm::AdamW{.lr = 1, .weight_decay = 0.5}, groups};
    optimizer.step(0.1);
    std::map<std::string, double> decayed;
    for (const auto& item : parameters) decayed[item.key()] = (1 - item.value().flatten()[0].item<double>()) / 0.05;
    return decayed;
  };
  auto found = factors(method, {});
  CHECK(found["nodes.image.pos_embed"] == 0);
  CHECK(found["nodes.image.cls_token"] == 0);
  CHECK(found["nodes.image.norm.weight"] == 0);
  CHECK_THAT(found["nodes.image.patch_embed.proj.weight"], WithinRel(1, 1e-5));
  CHECK_THAT(found["net.matrix"], WithinRel(1, 1e-5));
  found = factors(*vit, {.rules = {{.pattern = "pos_embed", .decay = 2}, {.pattern = "cls_token", .lr = 1}}});
  CHECK_THAT(found["pos_embed"], WithinRel(2, 1e-5));
  CHECK(found["cls_token"] == 0);
}

TEST_CASE("What a backbone keeps from decay must be its own") {
  struct Wrong : sm::ImageBackbone {
    Tensor matrix = register_parameter("matrix", torch::ones({2, 3}));
    std::int64_t feature_dim() const override { return 3; }
    Tensor forward(const Tensor& images) override { return images; }
    std::vector<std::string> no_decay() const override { return {"matrx"}; }
  };
  CHECK_THROWS_MATCHES(sm::Optimizer(Wrong{}), sm::InvalidArgument,
                       Message("a backbone's no_decay() names \"matrx\", which is none of its parameters"));
}

TEST_CASE("Layers are numbered from the end in open_clip's towers and in DistilBERT") {
  const std::vector<std::pair<std::string, std::vector<std::pair<std::string, std::int64_t>>>> all{
      {"ViT",
       {{"class_embedding", 2},
        {"positional_embedding", 2},
        {"conv1.weight", 2},
        {"ln_pre.weight", 2},
        {"transformer.resblocks.0.attn.in_proj_weight", 1},
        {"transformer.resblocks.1.ln_1.bias", 0},
        {"ln_post.weight", 0},
        {"proj", 0}}},
      {"ResNet",
       {{"conv1.weight", 3},
        {"bn3.weight", 3},
        {"layer1.0.conv1.weight", 2},
        {"layer1.1.downsample.0.weight", 1},
        {"layer4.0.bn3.bias", 0},
        {"attnpool.positional_embedding", 0}}},
      {"text",
       {{"token_embedding.weight", 2},
        {"positional_embedding", 2},
        {"transformer.resblocks.0.mlp.c_fc.weight", 1},
        {"transformer.resblocks.1.mlp.c_fc.weight", 0},
        {"ln_final.weight", 0},
        {"text_projection", 0}}},
      {"DistilBERT",
       {{"embeddings.LayerNorm.bias", 2},
        {"transformer.layer.0.ffn.lin1.weight", 1},
        {"transformer.layer.1.ffn.lin1.weight", 0}}}};
  for (const auto& [tower, expected] : all) {
    for (const std::string prefix : {"", "nodes.text.encoder."}) {
      std::vector<std::string> names;
      std::vector<std::int64_t> layers;
      for (const auto& [name, layer] : expected) {
        names.push_back(prefix + name);
        layers.push_back(layer);
      }
      INFO(prefix << tower);
      CHECK(sm::layers_from_the_end(names) == layers);
    }
  }
}

TEST_CASE("A classifier within an encoder is a layer of its own, and a node's name may end in encoder") {
  const std::vector<std::string> names{"patch_embed.proj.weight", "blocks.0.norm1.weight", "blocks.1.norm1.weight",
                                       "norm.weight", "head.weight"};
  // timm's param_groups_layer_decay: the head is last, before it the last block and the norm behind it.
  CHECK(sm::layers_from_the_end(names) == std::vector<std::int64_t>{3, 2, 1, 1, 0});
  for (const std::string node : {"nodes.image.encoder.", "nodes.image_encoder.encoder."}) {
    std::vector<std::string> within;
    for (const auto& name : names) within.push_back(node + name);
    CHECK(sm::layers_from_the_end(within) == std::vector<std::int64_t>{3, 2, 1, 1, 0});
  }
}

TEST_CASE("The decay may rise to another along half a cosine") {
  const sm::AdamW rising{.weight_decay = 0.04, .final_weight_decay = 0.4};
  CHECK_THAT(sm::weight_decay_at(rising, {0, 100}), WithinRel(0.04, 1e-12));
  CHECK_THAT(sm::weight_decay_at(rising, {50, 100}), WithinRel(0.22, 1e-12));
  CHECK_THAT(sm::weight_decay_at(rising, {25, 100}), WithinRel(0.4 - 0.18 * (1 + std::sqrt(0.5)), 1e-12));
  CHECK_THAT(sm::weight_decay_at(rising, {100, 100}), WithinRel(0.4, 1e-12));
  CHECK(sm::weight_decay_at(sm::AdamW{.weight_decay = 0.1}, {77, 100}) == 0.1);
  Net net;
  CHECK_THROWS_AS((sm::Optimizer{net, sm::AdamW{.final_weight_decay = -1}}), sm::InvalidArgument);
}

TEST_CASE("Gradients may be clipped each by itself") {
  Net net;
  sm::Optimizer optimizer{net};
  set_gradients(net, 1);  // of norm √6 and √3
  optimizer.clip_each_gradient(2);
  CHECK_THAT(net.matrix.grad().norm().item<double>(), WithinRel(2, 1e-5));
  CHECK(torch::equal(net.bias.grad(), torch::ones({3})));
}

TEST_CASE("Rules by name change rate, decay and optimizer; the first that matches holds") {
  Net net;
  sm::Optimizer optimizer{
      net,
      sm::AdamW{.lr = 1, .weight_decay = 0.5},
      {.rules = {{.pattern = "b?as", .lr = 0.5, .decay = 2}, {.pattern = "*", .optimizer = sm::Sgd{.lr = 0.2}}}}};
  set_gradients(net, 1);
  optimizer.step(0.1);
  CHECK_THAT(net.matrix[0][0].item<double>(), WithinRel(1 - 0.02, 1e-6));        // SGD
  CHECK_THAT(net.bias[0].item<double>(), WithinRel(1 - 0.05 * 1 - 0.05, 1e-5));  // decay, then Adam's first step of 1
  std::set<std::string> names;
  for (const auto& [name, tensor] : optimizer.state()) names.insert(name);
  CHECK(names == std::set<std::string>{"bias/exp_avg", "bias/exp_avg_sq", "bias/step", "matrix/momentum_buffer"});
}

TEST_CASE("A parameter without gradient is left alone") {
  Net net;
  sm::Optimizer optimizer{net, sm::AdamW{.lr = 1, .weight_decay = 0.5}};
  set_gradients(net, 1);
  optimizer.zero_grad();
  CHECK_FALSE(net.matrix.grad().defined());
  net.bias.mutable_grad() = torch::ones({3});
  optimizer.step(0.1);
  CHECK(torch::equal(net.matrix, torch::ones({2, 3})));
  CHECK_THAT(net.bias[0].item<double>(), WithinRel(0.9, 1e-5));
}

TEST_CASE("A module that occurs twice is updated once a step") {
  torch::nn::Module both;
  const auto net = std::make_shared<Net>();
  both.register_module("a", net);
  both.register_module("b", net);
  sm::Optimizer optimizer{both, sm::AdamW{.lr = 1, .weight_decay = 0}};
  set_gradients(*net, 1);
  optimizer.step(0.1);
  CHECK_THAT(net->bias[0].item<double>(), WithinRel(0.9, 1e-5));
  CHECK(optimizer.state().size() == 6);
}

TEST_CASE("Frozen parameters are no part of it") {
  Net net;
  net.matrix.requires_grad_(false);
  CHECK(sm::Optimizer{net}.state().size() == 3);
  net.bias.requires_grad_(false);
  CHECK_THROWS_MATCHES((sm::Optimizer{net}), sm::InvalidArgument,
                       Message("the method has no parameter that needs a gradient: nothing to train"));
}

TEST_CASE("The norm is that of all gradients together") {
  Net net;
  sm::Optimizer optimizer{net};
  CHECK(optimizer.gradient_norm() == 0);
  set_gradients(net, 2);
  CHECK_THAT(optimizer.gradient_norm(), WithinRel(6.0, 1e-6));
  optimizer.scale_gradients(0.5);
  CHECK_THAT(optimizer.gradient_norm(), WithinRel(3.0, 1e-6));
  net.bias.mutable_grad()[1] = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isnan(optimizer.gradient_norm()));
}

TEST_CASE("State makes another optimizer go on bit by bit") {
  Net net, other;
  sm::Optimizer optimizer{net, sm::AdamW{.lr = 1}}, again{other, sm::AdamW{.lr = 1}};
  const auto step = [](Net& n, sm::Optimizer& o, double value) {
    set_gradients(n, value);
    o.step(0.01);
  };
  step(net, optimizer, 1);
  step(net, optimizer, -0.3);
  {
    const torch::NoGradGuard no_grad;
    other.matrix.copy_(net.matrix);
    other.bias.copy_(net.bias);
  }
  again.load_state(optimizer.state());
  step(net, optimizer, 0.7);
  step(other, again, 0.7);
  CHECK(torch::equal(net.matrix, other.matrix));
  CHECK(torch::equal(net.bias, other.bias));

  sm::NamedTensors state;
  for (const auto& [name, tensor] : optimizer.state()) state.emplace_back(name, tensor.clone());
  CHECK(state[0].first == "matrix/exp_avg");
  const auto refused = [&](const std::string& what) {
    CHECK_THROWS_MATCHES(again.load_state(state), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring("does not fit the model") && ContainsSubstring(what)));
  };
  SECTION("missing") {
    state.pop_back();
    refused("resume with the model it was saved from");
  }
  SECTION("another shape") {
    state[3].second = torch::zeros({4});
    refused("bias/exp_avg");
  }
  SECTION("another name") {
    state[1].first = "matrix/second";
    refused("matrix/exp_avg_sq");
  }
}

TEST_CASE("Options out of range are refused by name") {
  Net net;
  const auto refused = [&](const sm::OptimizerOptions& options, const std::string& what) {
    CHECK_THROWS_MATCHES(sm::Optimizer(net, options), sm::InvalidArgument, MessageMatches(ContainsSubstring(what)));
  };
  constexpr double inf = std::numeric_limits<double>::infinity();
  refused(sm::AdamW{.lr = -1}, "AdamW::lr is -1; it must be zero or more");
  refused(sm::AdamW{.lr = NAN}, "AdamW::lr is nan");
  refused(sm::AdamW{.lr = inf}, "AdamW::lr is inf");
  refused(sm::AdamW{.beta1 = 1}, "AdamW::beta1 is 1; it must be in [0, 1)");
  refused(sm::AdamW{.beta2 = -0.1}, "AdamW::beta2 is -0.1");
  refused(sm::AdamW{.eps = 0}, "AdamW::eps is 0; it must be positive");
  refused(sm::AdamW{.weight_decay = -1}, "AdamW::weight_decay is -1");
  refused(sm::AdamW{.weight_decay = inf}, "AdamW::weight_decay is inf");
  refused(sm::Sgd{.momentum = 1}, "Sgd::momentum is 1; it must be in [0, 1)");
  refused(sm::Sgd{.momentum = 0, .nesterov = true}, "Sgd::momentum is 0; it must be positive with nesterov");
  refused(sm::Lars{.trust = 0}, "Lars::trust is 0; it must be positive");
  refused(sm::Lamb{.beta2 = 1}, "Lamb::beta2 is 1");
  const auto groups_refused = [&](const sm::ParameterGroups& groups, const std::string& what) {
    CHECK_THROWS_MATCHES(sm::Optimizer(net, sm::AdamW{}, groups), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring(what)));
  };
  groups_refused({.layer_decay = 0}, "layer_decay is 0; it must be in (0, 1]");
  groups_refused({.rules = {{.pattern = "matrx*"}}},
                 "the parameter rule \"matrx*\" matches no parameter, or none that an earlier rule does not: names are "
                 "like matrix");
  groups_refused({.rules = {{.pattern = "*"}, {.pattern = "bias"}}}, "the parameter rule \"bias\" matches no");
  groups_refused({.rules = {{.pattern = "bias", .lr = -1}}}, "the parameter rule \"bias\" has the factor -1");
  groups_refused({.rules = {{.pattern = "bias", .optimizer = sm::Sgd{.lr = -1}}}}, "Sgd::lr is -1");
}
