// Fusion heads against their published formulas (scripts/golden/fusion.py): outputs, and gradients of every weight.
#include <sslmeme/nn/fusion.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <string>
#include <utility>

#include "close_to.hpp"
#include "parity/golden.hpp"

namespace sm = sslmeme;
using sm::Tensor;
using sm::test::AllCloseTo;
using sm::test::Golden;
using sm::test::Tolerance;

TEST_CASE("Every head is its formula, value and gradient") {
  const std::string name = GENERATE("concat", "align", "cross", "cmaf");
  INFO(name);
  const Golden golden{"fusion"};
  for (const auto& [type, tolerance] : {std::pair{torch::kDouble, Tolerance{1e-10, 1e-12, 1e-10}},
                                        std::pair{torch::kFloat, Tolerance{1e-5, 1e-6, 1e-5}}}) {
    const auto head = sm::make_fusion_head(7, 4, {.kind = sm::fusion_kind(name), .dim = 6, .hidden = 3});
    head->to(type);
    head->eval();
    sm::NamedTensors weights;
    for (const auto& [key, tensor] : golden.all(name + "/weights/")) weights.emplace_back(key, tensor);
    sm::load_state(*head, weights);
    const auto of = [&](const char* what) { return golden[name + "/" + what].to(type); };
    const auto [logits, embedding] = head->fuse(of("image"), of("text"));
    CHECK_THAT(logits, AllCloseTo(of("logits"), tolerance));
    CHECK_THAT(embedding, AllCloseTo(of("embedding"), tolerance));
    CHECK(head->embedding_dim() == 3);
    (logits * of("probe")).sum().backward();
    const auto gradients = golden.all(name + "/gradient/");
    REQUIRE(gradients.size() == head->parameters().size());
    for (const auto& parameter : head->named_parameters()) {
      INFO(parameter.key());
      CHECK_THAT(parameter.value().grad(), AllCloseTo(gradients.at(parameter.key()), tolerance));
    }
  }
}
