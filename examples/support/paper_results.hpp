// The paper's tables from the fits on disk: for the terminal and as JSON.
#pragma once

#include "support/fit_results.hpp"
#include "support/paper_plan.hpp"

#include <map>
#include <optional>
#include <string>

namespace examples {

/// What the fits of a plan left, read once.
struct PaperFigures {
  std::map<std::string, sm::ReportRow> classifiers;  ///< by key, as report_row() makes them
  std::map<std::string, sm::Summary> votes;          ///< AUROC of measure_votes(), by key, of those that have it
  std::map<std::string, Histories> pretrainings;     ///< by key
  std::map<std::string, double> seconds;             ///< a pre-training took, the mean over seeds, by key
};

/// Throws as results_of() and histories_of() do.
PaperFigures read_figures(const PaperPlan& plan);

/// How far the worst row of both modalities is above the best of one, in AUROC; none where rows of table 3 or all of
/// one modality are missing.
std::optional<double> modality_margin(const PaperPlan& plan, const PaperFigures& figures);

/// All tables and the label-efficiency points, for people.
std::string paper_text(const PaperPlan& plan, const PaperFigures& figures);

/// {"scale", "data", "train", "unlabelled", "split", "dev", "seeds", "tables": [{"key", "title", "rows": [{"title",
/// "classifier", "auroc_mean", "auroc_std", "vote_auroc_mean" (of RGCL), …, "accuracy_mean", "accuracy_std",
/// "tuned_accuracy_mean", …, "published": {…}, "runs": […]}]}], "label_efficiency": [{"pretraining", "labels",
/// "auroc_mean", "auroc_std", "seeds"}], "pretrainings": [{"fit", "title", "epochs", "seconds"}], "losses": {…},
/// "collapse": […], "modality_margin" (where there is one), "seconds"}.
std::string paper_json(const PaperPlan& plan, const PaperFigures& figures, const std::string& scale, double seconds);

}  // namespace examples
