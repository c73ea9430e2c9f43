// The method DINO: its wiring by hand, its teacher, and how a run of it goes on.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/method/dino.hpp>
#include <sslmeme/nn/weights.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <torch/autograd.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <string>
#include <vector>

#include "close_to.hpp"
#include "files.hpp"
#include "loss/kernels.hpp"
#include "tiny_run.hpp"

namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::fp32_rounding;

namespace {

const sm::DinoHeadOptions small_head{.prototypes = 24, .hidden = 16, .bottleneck = 8};

sm::ImageEncoder vit(std::uint64_t seed = 0) {
  return sm::image_encoder(
      "vit_tiny_patch16_224",
      {.image_size = 16, .patch_size = 8, .width = 12, .depth = 1, .seed = seed, .dynamic_img_size = true});
}
sm::ImageEncoder resnet() {
  return sm::image_encoder("resnet18", {.width = 4, .depth = 1});
}

/// Two views of 16 pixels, `locals` of 8.
sm::Batch make_batch(int locals, std::int64_t n = 5) {
  sm::Batch batch;
  for (int i = 0; i < 2; ++i) batch.views.push_back(torch::randn({n, 3, 16, 16}));
  for (int i = 0; i < locals; ++i) batch.views.push_back(torch::randn({n, 3, 8, 8}));
  batch.ids = torch::arange(n);
  return batch;
}

/// Remembers what it was given.
struct Spy : sm::ImageBackbone {
  Tensor weight = register_parameter("weight", torch::randn({3, 6}));
  Tensor count = register_buffer("count", torch::zeros({}));
  std::vector<std::vector<std::int64_t>> seen;
  std::int64_t feature_dim() const override { return 6; }
  Tensor forward(const Tensor& images) override {
    seen.push_back(images.sizes().vec());
    count.add_(1);
    return images.mean({2, 3}).matmul(weight);
  }
};

Tensor state(sm::Dino& method, const std::string& name) {
  for (const auto& [key, tensor] : sm::state_of(*method.module())) {
    if (key == name) return tensor;
  }
  throw std::runtime_error("no state " + name);
}

}  // namespace

TEST_CASE("DINO's head: three linears, L2 norm, prototypes of length one") {
  sm::DinoHead head{10, {.prototypes = 7, .hidden = 9, .bottleneck = 5}};
  const auto p = head.named_parameters();
  CHECK(p["last_layer.weight_v"].sizes() == torch::IntArrayRef{7, 5});
  CHECK_FALSE(p["last_layer.weight_g"].requires_grad());
  const auto x = torch::randn({4, 10});
  auto y = x;
  for (const std::string layer : {"mlp.0.", "mlp.2.", "mlp.4."}) {
    if (layer != "mlp.0.") y = torch::gelu(y);
    y = torch::linear(y, p[layer + "weight"], p[layer + "bias"]);
    CHECK(p[layer + "bias"].abs().max().item<double>() == 0);
  }
  const auto weight = at::_weight_norm(p["last_layer.weight_v"], p["last_layer.weight_g"], 0);
  CHECK_THAT(head.forward(x), AllCloseTo(torch::linear(sm::l2_normalize(y), weight), fp32_rounding));
  sm::DinoHead free{10, {.prototypes = 7, .hidden = 9, .bottleneck = 5, .norm_last_layer = false}};
  CHECK(free.named_parameters()["last_layer.weight_g"].requires_grad());
  CHECK_THROWS_MATCHES((sm::DinoHead{10, {.prototypes = 0}}), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("DinoHeadOptions::prototypes")));
}

TEST_CASE("A step of DINO is its loss on all views, each encoded by itself") {
  auto method = sm::dino(vit(), {.head = small_head, .views = 4});
  CHECK(method.views_required() == 4);
  const auto batch = make_batch(2);
  sm::DinoHead head{12, small_head};
  std::vector<Tensor> student, teacher;
  for (const auto& view : batch.views) student.push_back(head.forward(method.student()->forward(view)));
  for (int i = 0; i < 2; ++i)
    teacher.push_back(head.forward(method.teacher()->forward(batch.views[static_cast<std::size_t>(i)])));
  sm::DinoLoss loss{{.prototypes = 24}};
  const auto expected = loss(torch::stack(student), torch::stack(teacher), 0.04);
  const auto output = method.step(batch, {});
  CHECK_THAT(output.total, AllCloseTo(expected.total, fp32_rounding));
  CHECK_THAT(output.observed[0].second, AllCloseTo(expected.observed[0].second, {1e-4, 1e-6}));
  std::vector<std::string> names;
  for (const auto& [name, value] : output.parts) names.push_back(name);
  CHECK(names ==
        std::vector<std::string>{"dino", "teacher_entropy", "teacher_entropy_share", "center_norm", "agreement"});
  const auto entropy = output.parts[1].second.item<double>();
  CHECK((entropy > 0 && entropy <= std::log(24.0) + 1e-6));
  CHECK(std::abs(output.parts[2].second.item<double>() - entropy / std::log(24.0)) < 1e-5);
  CHECK(std::abs(output.parts[4].second.item<double>() - 1) < 1e-5);  // the teacher is a copy

  const auto warm = sm::dino(vit(), {.head = small_head, .teacher_temperature = {}, .views = 4})
                        .step(batch, {.epoch = 40});  // after the warm-up to 0.07
  CHECK_THAT(warm.total, AllCloseTo(loss(torch::stack(student), torch::stack(teacher), 0.07).total, fp32_rounding));
}

TEST_CASE("Halves reach DINO's loss as they are") {
  if (sm::detail::kernel_target() == nullptr) SKIP("without Highway the loss itself converts them");
  auto method = sm::dino(vit(), {.head = small_head, .views = 2});
  const sm::Autocast autocast{sm::Precision::bf16, torch::kCPU};
  const auto total = method.step(make_batch(0), {}).total;
  CHECK_THAT(total.grad_fn()->next_edge(0).function->name(), !ContainsSubstring("ToCopy"));
}

TEST_CASE("Views of one size go through the encoder together") {
  const auto student = std::make_shared<Spy>(), teacher = std::make_shared<Spy>();
  sm::Dino method{student, teacher, {.head = small_head, .views = 6}};
  method.step(make_batch(4), {});
  CHECK(student->seen == std::vector<std::vector<std::int64_t>>{{10, 3, 16, 16}, {20, 3, 8, 8}});
  CHECK(teacher->seen == std::vector<std::vector<std::int64_t>>{{10, 3, 16, 16}});
}

TEST_CASE("The teacher is a copy that shares nothing, learns nothing and follows") {
  const auto student = std::make_shared<Spy>(), teacher = std::make_shared<Spy>();
  teacher->count.fill_(7);
  sm::Dino method{student, teacher, {.head = small_head, .momentum = 0.9, .frozen_epochs = 0, .views = 3}};
  CHECK(torch::equal(teacher->weight, student->weight));
  CHECK(teacher->count.item<int>() == 0);
  CHECK_FALSE(teacher->weight.is_alias_of(student->weight));
  for (const auto* name : {"encoder.weight", "head.mlp.0.weight", "head.last_layer.weight_v"}) {
    const auto of_student = state(method, std::string{"nodes.student."} + name),
               of_teacher = state(method, std::string{"nodes.teacher."} + name);
    CHECK(torch::equal(of_student, of_teacher));
    CHECK_FALSE(of_student.is_alias_of(of_teacher));
  }

  const auto output = method.step(make_batch(1), {});
  output.total.backward();
  CHECK(student->weight.grad().defined());
  CHECK_FALSE(teacher->weight.grad().defined());
  CHECK_FALSE(teacher->weight.requires_grad());

  const auto before = teacher->weight.clone();
  const auto buffer_before = teacher->count.clone();
  {
    const torch::NoGradGuard no_grad;
    student->weight.add_(1);
  }
  CHECK(torch::equal(teacher->weight, before));
  CHECK(method.momentum(0, 100) == 0.9);
  CHECK(std::abs(method.momentum(50, 100) - 0.95) < 1e-12);
  CHECK(method.momentum(100, 100) == 1);
  method.after_step({.step = 51, .total_steps = 100}, output);  // the step done was number 50
  CHECK_THAT(teacher->weight, AllCloseTo(0.95 * before + 0.05 * student->weight, fp32_rounding));
  CHECK(torch::equal(teacher->count, buffer_before));
  CHECK(state(method, "loss.center").abs().max().item<double>() > 0);
}

TEST_CASE("Only the student drops what it is told to drop") {
  const auto dropping = sm::image_encoder("vit_tiny_patch16_224", {.image_size = 16,
                                                                   .patch_size = 4,
                                                                   .width = 12,
                                                                   .depth = 2,
                                                                   .dynamic_img_size = true,
                                                                   .drop_rate = 0.5,
                                                                   .proj_drop_rate = 0.5,
                                                                   .attn_drop_rate = 0.5,
                                                                   .drop_path_rate = 0.5,
                                                                   .patch_drop_rate = 0.5});
  const auto method = sm::dino(dropping, {.head = small_head, .views = 2});
  method.module()->train();
  const auto images = torch::randn({8, 3, 16, 16});
  CHECK_FALSE(torch::equal(method.student()->forward(images), method.student()->forward(images)));
  CHECK(torch::equal(method.teacher()->forward(images), method.teacher()->forward(images)));

  const auto options = [&](const char* node) {
    return nlohmann::json::parse(method.describe()).at("nodes").at(node).at("encoder").at("options");
  };
  CHECK(options("student").at("drop_path_rate") == 0.5);
  const auto of_teacher = options("teacher");
  for (const auto* rate : {"drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate", "patch_drop_rate"})
    CHECK(of_teacher.at(rate) == 0);
  CHECK(of_teacher.at("width") == 12);
}

TEST_CASE("Prototypes rest in the first epochs") {
  auto method = sm::dino(vit(), {.head = small_head, .frozen_epochs = 1, .views = 3});
  const auto batch = make_batch(1);
  const auto prototypes = state(method, "nodes.student.head.last_layer.weight_v");
  const auto learned = [&](std::int64_t epoch) {
    for (auto& parameter : method.module()->parameters()) parameter.mutable_grad() = Tensor{};
    method.step(batch, {.epoch = epoch}).total.backward();
    for (const auto& parameter : method.module()->named_parameters()) {
      if (parameter.key() == "nodes.student.head.last_layer.weight_v") return parameter.value().grad().defined();
    }
    return false;
  };
  CHECK_FALSE(learned(0));
  CHECK(learned(1));
}

TEST_CASE("What DINO cannot be made of is refused") {
  const auto refused = [](const std::string& what, auto make) {
    CHECK_THROWS_MATCHES(make(), sm::InvalidArgument, MessageMatches(ContainsSubstring(what)));
  };
  const auto encoder = vit();
  refused("share their parameters: give it two encoders", [&] { return sm::Dino{encoder, encoder, {}}; });
  refused("make it by the same name and options as the student", [&] { return sm::Dino{encoder, resnet(), {}}; });
  refused("cannot make a teacher like an encoder without description",
          [] { return sm::dino(std::make_shared<Spy>()); });
  refused("momentum is 2", [&] { return sm::dino(encoder, {.momentum = 2}); });
  refused("views is 1", [&] { return sm::dino(encoder, {.views = 1}); });
  refused("teacher_temperature is 0", [&] { return sm::dino(encoder, {.teacher_temperature = {0, 0.04}}); });
  auto method = sm::dino(encoder, {.head = small_head, .views = 5});
  refused("\"Dino\" needs view 4, the batch has 4: give the loader more views",
          [&] { return method.step(make_batch(2), {}); });
}

TEST_CASE("A run of DINO goes on after a stop as if there had been none, and its teacher can be loaded") {
  const sm::test::TemporaryFolder folder;
  const auto run = [&](const std::string& name, sm::ExistingRun existing, auto... callbacks) {
    sm::DataLoader loader{sm::test::Noise{},
                          sm::dino_views({.global_size = 16, .local_size = 8, .locals = 2}),
                          {.batch_size = 4, .workers = 1, .seed = 3}};
    auto options = sm::test::options(folder / name, existing);
    std::get<sm::AdamW>(options.optimizer).final_weight_decay = 0.4;
    options.clip_scope = sm::ClipScope::each;
    const sm::DinoMethodOptions how{.head = small_head, .teacher_temperature = {.epochs = 2}, .views = 4};
    sm::Trainer trainer{sm::dino(resnet(), how), options};
    auto result = trainer.fit(loader, callbacks...);
    return sm::test::Trained{std::move(result), sm::state_of(*trainer.method().module())};
  };
  const auto whole = run("whole", sm::ExistingRun::refuse);
  run("parts", sm::ExistingRun::refuse, sm::test::StopAt{7});
  const auto parts = run("parts", sm::ExistingRun::resume);
  sm::test::check_same(parts, whole, folder / "parts");

  const auto teacher = sm::load_image_encoder(folder / "whole", "teacher");
  CHECK(teacher->feature_dim() == 32);
  for (const auto& [name, tensor] : sm::state_of(*teacher)) {
    for (const auto& [key, trained] : whole.state) {
      if (key == "nodes.teacher.encoder." + name) CHECK(torch::equal(tensor, trained));
    }
  }
}
