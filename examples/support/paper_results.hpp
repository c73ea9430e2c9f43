// The paper's tables from the fits on disk: for the terminal and as JSON.
#pragma once

#include "support/paper_plan.hpp"

#include <string>

namespace examples {

/// All tables and the label-efficiency points, for people.
std::string paper_text(const PaperPlan& plan);

/// {"scale", "data", "split", "dev", "seeds", "tables": [{"key", "title", "rows": [{"title", "classifier",
/// "auroc_mean", "auroc_std", "accuracy_mean", "accuracy_std", "tuned_accuracy_mean", …, "published": {…}, "runs":
/// […]}]}], "label_efficiency": [{"pretraining", "labels", "auroc_mean", "auroc_std", "seeds"}], "losses": {…},
/// "collapse": […], "seconds"}.
std::string paper_json(const PaperPlan& plan, const std::string& scale, double seconds);

}  // namespace examples
