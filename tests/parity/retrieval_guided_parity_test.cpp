// RGCL's loss against its formula, anchor by anchor (scripts/golden/retrieval_guided.py).
#include <sslmeme/loss/retrieval_guided.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <string>
#include <tuple>
#include <utility>

#include "close_to.hpp"
#include "parity/golden.hpp"

namespace sm = sslmeme;
using sm::RetrievalGuidedForm;
using sm::test::AllCloseTo;
using sm::test::Golden;
using sm::test::Tolerance;

TEST_CASE("RetrievalGuidedLoss is the paper's and the script's, value and gradient") {
  const Golden golden{"retrieval_guided"};
  const std::string name =
      GENERATE("small", "one", "one_class", "several", "absent", "no_hard_negatives", "wide", "twins");
  const auto& [form, loss] =
      GENERATE(std::pair{"log_ratio", sm::RetrievalGuidedLoss{}},
               std::pair{"log_ratio_cold", sm::RetrievalGuidedLoss{.temperature = 0.07}},
               std::pair{"hinge", sm::retrieval_guided_reference()},
               std::pair{"hinge_wide", sm::RetrievalGuidedLoss{.form = RetrievalGuidedForm::hinge, .margin = 0.7}});
  INFO(name << ' ' << form);
  for (const auto& [type, value, gradient] :
       {std::tuple{torch::kDouble, Tolerance{1e-10, 1e-12}, Tolerance{1e-10, 1e-14, 1e-10}},
        std::tuple{torch::kFloat, Tolerance{1e-5, 1e-6}, Tolerance{1e-5, 1e-6, 1e-5}}}) {
    const auto of = [&](const char* what) { return golden[name + "/" + what]; };
    const auto z = of("z").to(type).clone().requires_grad_();
    const auto total = loss(
        z, of("labels"), {of("positives").to(type), of("negatives").to(type), of("has_positive"), of("has_negative")});
    CHECK(total.scalar_type() == type);
    CHECK_THAT(total, AllCloseTo(golden[name + "/" + form + "/value"], value));
    total.backward();
    CHECK_THAT(z.grad(), AllCloseTo(golden[name + "/" + form + "/grad"], gradient));
  }
}
