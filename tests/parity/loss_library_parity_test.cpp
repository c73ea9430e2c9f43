// The loss library against lightly, open_clip, torchvision and written-out formulas (scripts/golden/loss_library.py).
#include <sslmeme/loss/any_pair_loss.hpp>
#include <sslmeme/loss/barlow_twins.hpp>
#include <sslmeme/loss/dino.hpp>
#include <sslmeme/loss/koleo.hpp>
#include <sslmeme/loss/label_losses.hpp>
#include <sslmeme/loss/moco.hpp>
#include <sslmeme/loss/nt_xent.hpp>
#include <sslmeme/loss/predictive.hpp>
#include <sslmeme/loss/sigmoid.hpp>
#include <sslmeme/loss/soft_target_clip.hpp>
#include <sslmeme/loss/supervised_contrastive.hpp>
#include <sslmeme/loss/swav.hpp>
#include <sslmeme/loss/vicreg.hpp>
#include <sslmeme/nn/safetensors.hpp>

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "close_to.hpp"
#include "state.hpp"

namespace sm = sslmeme;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::Tolerance;

namespace {

const std::map<std::string, Tensor>& golden() {
  static const auto tensors =
      sm::test::by_name(sm::read_safetensors(SSLMEME_TEST_DATA "/parity/loss_library.safetensors").tensors);
  return tensors;
}

/// A gradient sums terms of both signs: its small elements are as exact as its large ones.
struct Precision {
  torch::ScalarType type;
  Tolerance value, gradient;
};
const std::array precisions{Precision{torch::kDouble, {1e-10, 1e-12}, {1e-10, 1e-14, 1e-10}},
                            Precision{torch::kFloat, {1e-5, 1e-6}, {1e-5, 1e-6, 1e-5}}};

Tensor input(const std::string& name, torch::ScalarType type) {
  return golden().at(name).to(type).detach().clone().requires_grad_();
}

/// A gradient that the golden file does not have is one that must not flow.
void check_gradient(const Tensor& x, const std::string& name, Tolerance tolerance) {
  INFO(name);
  if (golden().contains(name)) {
    // Duplicates repel each other with 10⁷ under KoLeo: in fp32 that drowns what else they get, and leaves the fourth
    // row.
    const bool drowned = name == "duplicates/koleo/grad_a" && x.scalar_type() == torch::kFloat;
    // A softmax over one entry: 1/τ times what cancels.
    if (name == "sup_con_pair/0.07/grad" && x.scalar_type() == torch::kFloat) tolerance.absolute = 1e-5;
    // At a zero vector the reference's gradient is 1/ε times a direction; ours is 0 (l2_normalize).
    const bool zero_row = (name.starts_with("zero_row") && name.ends_with("grad_a")) ||
                          name == "sup_con_zero_row/0.07/grad" || name == "moco_zero_row/grad";
    const auto seen = [&](const Tensor& gradient) {
      if (zero_row) return gradient.index_select(0, torch::tensor({0, 1, 3, 4}));
      return drowned ? gradient[3] : gradient;
    };
    CHECK_THAT(seen(x.grad()), AllCloseTo(seen(golden().at(name)), tolerance));
    if (zero_row) CHECK(torch::isfinite(x.grad()).all().item<bool>());
  } else {
    CHECK_FALSE(x.grad().defined());
  }
}

/// With a batch of one, for losses that compare no samples of a batch.
const std::vector<std::string> with_one{"small", "two",          "tall",         "wide",     "duplicates",
                                        "equal", "long_vectors", "large_logits", "zero_row", "one"};
const std::vector<std::string> without_one{with_one.begin(), with_one.end() - 1};

template <class L>
void check_pairs(const L& loss, const std::string& key, const std::vector<std::string>& cases = with_one) {
  for (const auto& name : cases) {
    INFO(name);
    for (const auto& precision : precisions) {
      const auto a = input(name + "/a", precision.type), b = input(name + "/b", precision.type);
      const auto output = sm::AnyPairLoss{loss}(a, b).total;
      CHECK(output.scalar_type() == precision.type);
      CHECK_THAT(output, AllCloseTo(golden().at(name + "/" + key + "/value"), precision.value));
      output.backward();
      check_gradient(a, name + "/" + key + "/grad_a", precision.gradient);
      check_gradient(b, name + "/" + key + "/grad_b", precision.gradient);
    }
  }
}

template <class L>
void check_labelled(const L& loss, const std::string& inputs, const std::string& vectors, const std::string& key) {
  INFO(key);
  for (const auto& precision : precisions) {
    const auto x = input(inputs + "/" + vectors, precision.type);
    const auto output = loss(x, golden().at(inputs + "/labels"));
    CHECK(output.scalar_type() == precision.type);
    auto tolerance = precision.value;
    // A softmax over one entry: logits near 1/τ cancel, and fp32 knows them within 8e-6.
    if (key == "sup_con_pair/0.01" && precision.type == torch::kFloat) tolerance.absolute = 1e-5;
    CHECK_THAT(output, AllCloseTo(golden().at(key + "/value"), tolerance));
    output.backward();
    check_gradient(x, key + "/grad", precision.gradient);
  }
}

}  // namespace

TEST_CASE("NtXent is lightly's") {
  check_pairs(sm::NtXent{}, "nt_xent");
  check_pairs(sm::NtXent{.temperature = 0.01}, "nt_xent_cold");
}

TEST_CASE("SimSiamLoss and ByolLoss are lightly's, and no gradient flows to the target") {
  check_pairs(sm::SimSiamLoss{}, "simsiam");
  check_pairs(sm::ByolLoss{}, "byol");
}

TEST_CASE("BarlowTwins is lightly's") {
  check_pairs(sm::BarlowTwins{}, "barlow_twins", without_one);
}

TEST_CASE("VicReg is lightly's") {
  check_pairs(sm::VicReg{}, "vicreg", without_one);
}

TEST_CASE("KoLeo is lightly's, on both sides") {
  check_pairs(sm::KoLeo{}, "koleo", without_one);
}

TEST_CASE("SoftTargetClip is the tutorial's") {
  check_pairs(sm::SoftTargetClip{}, "soft_target_clip");
  check_pairs(sm::SoftTargetClip{.temperature = 2}, "soft_target_clip_2");
}

TEST_CASE("SigmoidLoss is open_clip's") {
  check_pairs(sm::SigmoidLoss{}, "sigmoid");
}

TEST_CASE("SigmoidLoss has open_clip's gradients of scale and bias, MocoV3Loss the paper's when cold") {
  for (const std::string name : {"learned", "learned_duplicates", "learned_twins"}) {
    for (const auto& precision : precisions) {
      INFO(name);
      for (const std::string how : {"default", "cold"}) {
        const auto at = [&](const char* what) { return name + "/sigmoid_" + how + "/" + what; };
        const auto a = input(name + "/a", precision.type), b = input(name + "/b", precision.type);
        sm::SigmoidLoss loss{{.scale = how == "cold" ? 100.0 : 10.0}};
        loss.module()->to(precision.type);
        if (precision.type == torch::kDouble) {  // made in fp32
          const torch::NoGradGuard no_grad;
          loss.module()->named_parameters()["log_scale"].fill_(std::log(how == "cold" ? 100.0 : 10.0));
        }
        const auto output = loss(a, b);
        CHECK_THAT(output, AllCloseTo(golden().at(at("value")), precision.value));
        output.backward();
        check_gradient(a, at("grad_a"), precision.gradient);
        check_gradient(b, at("grad_b"), precision.gradient);
        for (const auto* learned : {"log_scale", "bias"}) {
          check_gradient(loss.module()->named_parameters()[learned], at((std::string{"grad_"} + learned).c_str()),
                         precision.gradient);
        }
      }
      const auto a = input(name + "/a", precision.type), b = input(name + "/b", precision.type);
      const auto cold = sm::MocoV3Loss{.temperature = 0.02}(a, b);
      CHECK_THAT(cold, AllCloseTo(golden().at(name + "/moco_v3_cold/value"), precision.value));
      cold.backward();
      check_gradient(a, name + "/moco_v3_cold/grad_a", precision.gradient);
      CHECK_FALSE(b.grad().defined());
    }
  }
}

TEST_CASE("MocoV3Loss is the paper's algorithm, one direction") {
  check_pairs(sm::MocoV3Loss{}, "moco_v3");
}

TEST_CASE("MocoLoss is lightly's contrast with a memory bank, its queue included") {
  for (const auto& precision : precisions) {
    sm::MocoLoss loss{{.queue = 12, .dim = 5}};
    loss.module()->to(precision.type);
    {
      const torch::NoGradGuard no_grad;
      loss.queue().copy_(golden().at("moco/queue"));
    }
    for (int step = 0; step < 4; ++step) {
      INFO("step " << step);
      const auto at = [&](const char* what) { return "moco/" + std::to_string(step) + "/" + what; };
      const auto query = input(at("query"), precision.type), key = input(at("key"), precision.type);
      const auto output = loss(query, key);
      CHECK_THAT(output.total, AllCloseTo(golden().at(at("value")), precision.value));
      output.total.backward();
      check_gradient(query, at("grad"), precision.gradient);
      CHECK_FALSE(key.grad().defined());
      loss.update({}, output.observed);
      CHECK_THAT(loss.queue(), AllCloseTo(golden().at(at("next_queue")), precision.value));
    }
  }
}

TEST_CASE("MocoLoss in other shapes, cold, with duplicates in the queue and with zero vectors") {
  for (const auto& [name, temperature] : {std::pair{"one", 0.1}, std::pair{"wide", 0.07}, std::pair{"duplicates", 0.1},
                                          std::pair{"cold", 0.01}, std::pair{"zero_row", 0.1}}) {
    for (const auto& precision : precisions) {
      INFO(name);
      const auto at = [&, &of = name](const char* what) { return std::string{"moco_"} + of + "/" + what; };
      const auto queue = golden().at(at("queue"));
      sm::MocoLoss loss{{.queue = queue.size(0), .dim = queue.size(1), .temperature = temperature}};
      loss.module()->to(precision.type);
      {
        const torch::NoGradGuard no_grad;
        loss.queue().copy_(queue);
      }
      const auto query = input(at("query"), precision.type), key = input(at("key"), precision.type);
      const auto output = loss(query, key);
      CHECK_THAT(output.total, AllCloseTo(golden().at(at("value")), precision.value));
      output.total.backward();
      check_gradient(query, at("grad"), precision.gradient);
    }
  }
}

TEST_CASE("SupCon is the paper's equation") {
  check_labelled(sm::SupCon{}, "sup_con", "z", "sup_con");
  check_labelled(sm::SupCon{.temperature = 0.5}, "sup_con", "z", "sup_con_warm");
}

TEST_CASE("SupCon is the paper's equation in other shapes, cold, and for duplicates") {
  for (const std::string name : {"wide", "tall", "pair", "duplicates", "long"}) {
    check_labelled(sm::SupCon{}, "sup_con_" + name, "z", "sup_con_" + name + "/0.07");
    check_labelled(sm::SupCon{.temperature = 0.01}, "sup_con_" + name, "z", "sup_con_" + name + "/0.01");
  }
}

TEST_CASE("SupCon is the paper's equation beside a zero vector") {
  check_labelled(sm::SupCon{}, "sup_con_zero_row", "z", "sup_con_zero_row/0.07");
}

TEST_CASE("BinaryCrossEntropy and FocalLoss are torch's and torchvision's, sure logits included") {
  check_labelled(sm::BinaryCrossEntropy{}, "binary", "logits", "bce");
  check_labelled(sm::BinaryCrossEntropy{.positive_weight = 3}, "binary", "logits", "bce_weighted");
  check_labelled(sm::FocalLoss{}, "binary", "logits", "focal");
  check_labelled(sm::focal_reference(), "binary", "logits", "focal_paper");
  for (const std::string name : {"_one", "_many", "_ties", "_huge"}) {
    check_labelled(sm::BinaryCrossEntropy{}, "binary" + name, "logits", "bce" + name);
    check_labelled(sm::BinaryCrossEntropy{.positive_weight = 3}, "binary" + name, "logits", "bce_weighted" + name);
    check_labelled(sm::FocalLoss{}, "binary" + name, "logits", "focal" + name);
    check_labelled(sm::FocalLoss{.alpha = 0.25}, "binary" + name, "logits", "focal_paper" + name);
  }
}

TEST_CASE("CrossEntropy is torch's") {
  check_labelled(sm::CrossEntropy{}, "classes", "logits", "cross_entropy");
  check_labelled(sm::CrossEntropy{.label_smoothing = 0.1}, "classes", "logits", "cross_entropy_smooth");
  for (const std::string name : {"_one", "_two", "_many", "_ties", "_huge"}) {
    check_labelled(sm::CrossEntropy{}, "classes" + name, "logits", "cross_entropy" + name);
    check_labelled(sm::CrossEntropy{.label_smoothing = 0.1}, "classes" + name, "logits", "cross_entropy_smooth" + name);
  }
}

TEST_CASE("SwavLoss and sinkhorn are lightly's") {
  for (const std::string name :
       {"swav", "swav_one", "swav_wide", "swav_tall", "swav_duplicates", "swav_ties", "swav_far_apart"}) {
    INFO(name);
    for (const auto& precision : precisions) {
      std::vector<Tensor> views;
      while (golden().contains(name + "/view_" + std::to_string(views.size())))
        views.push_back(input(name + "/view_" + std::to_string(views.size()), precision.type));
      REQUIRE(views.size() >= 3);
      CHECK_THAT(sm::sinkhorn(views[0]), AllCloseTo(golden().at(name + "/codes"), precision.value));
      const auto output = sm::SwavLoss{}(views, 2);
      CHECK_THAT(output, AllCloseTo(golden().at(name + "/value"), precision.value));
      output.backward();
      for (std::size_t i = 0; i < views.size(); ++i)
        check_gradient(views[i], name + "/grad_" + std::to_string(i), precision.gradient);
    }
  }
}

TEST_CASE("DinoLoss is the paper's algorithm with several crops, its centre included") {
  for (const std::string name : {"multi_crop", "two_views", "three_teachers", "one_teacher", "one", "warm",
                                 "large_logits", "ties", "agreement"}) {
    for (const auto& precision : precisions) {
      INFO(name);
      const auto at = [&](const char* what) { return "dino/" + name + "/" + what; };
      const auto student = input(at("student"), precision.type), teacher = input(at("teacher"), precision.type);
      sm::DinoLoss loss{{.prototypes = student.size(2)}};
      {
        const torch::NoGradGuard no_grad;
        loss.module()->to(precision.type);
        loss.center().copy_(golden().at(at("center")));
      }
      const auto output = loss(student, teacher, name == "warm" ? 0.07 : 0.04);
      CHECK_THAT(output.total, AllCloseTo(golden().at(at("value")), precision.value));
      output.total.backward();
      check_gradient(student, at("grad"), precision.gradient);
      CHECK_FALSE(teacher.grad().defined());
      CHECK_THAT(loss.center(), AllCloseTo(golden().at(at("center")), precision.value));  // a call changes nothing
      loss.update({}, output.observed);
      CHECK_THAT(loss.center(), AllCloseTo(golden().at(at("next_center")), precision.value));
    }
  }
}
