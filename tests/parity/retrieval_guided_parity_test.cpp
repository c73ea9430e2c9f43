// RGCL's loss against its formula, anchor by anchor (scripts/golden/retrieval_guided.py).
#include <sslmeme/loss/retrieval_guided.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <string>
#include <tuple>
#include <vector>

#include "close_to.hpp"
#include "parity/golden.hpp"

namespace sm = sslmeme;
using sm::RetrievalGuidedForm;
using sm::test::AllCloseTo;
using sm::test::Golden;
using sm::test::Tolerance;

namespace {

struct Form {
  std::string name;
  sm::RetrievalGuidedLoss loss;
};
const std::vector<Form> forms{{"log_ratio", {}},
                              {"log_ratio_cold", {.temperature = 0.07}},
                              {"hinge", sm::retrieval_guided_reference()},
                              {"hinge_wide", {.form = RetrievalGuidedForm::hinge, .margin = 0.7}}};

}  // namespace

TEST_CASE("RetrievalGuidedLoss is the paper's and the script's, value and gradient") {
  const Golden golden{"retrieval_guided"};
  const std::string name =
      GENERATE("small", "one", "one_class", "several", "absent", "no_hard_negatives", "wide", "twins");
  const auto of = [&](const char* what) { return golden[name + "/" + what]; };
  for (const auto& form : forms) {
    INFO(name << ' ' << form.name);
    for (const auto& [type, value, gradient] :
         {std::tuple{torch::kDouble, Tolerance{1e-10, 1e-12}, Tolerance{1e-10, 1e-14, 1e-10}},
          std::tuple{torch::kFloat, Tolerance{1e-5, 1e-6}, Tolerance{1e-5, 1e-6, 1e-5}}}) {
      const auto z = of("z").to(type).clone().requires_grad_();
      const auto total = form.loss(z, of("labels"),
                                   {.positives = of("positives").to(type),
                                    .negatives = of("negatives").to(type),
                                    .has_positive = of("has_positive"),
                                    .has_negative = of("has_negative")});
      CHECK(total.scalar_type() == type);
      CHECK_THAT(total, AllCloseTo(golden[name + "/" + form.name + "/value"], value));
      total.backward();
      CHECK_THAT(z.grad(), AllCloseTo(golden[name + "/" + form.name + "/grad"], gradient));
    }
  }
}
