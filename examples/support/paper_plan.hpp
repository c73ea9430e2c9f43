// The paper's tables as a plan: which fits they need at a scale, and which fit each row is measured on.
#pragma once

#include <sslmeme/eval/metrics.hpp>

#include "support/fits.hpp"

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace examples {

struct Published {
  sm::Summary auroc, accuracy;  ///< n is 2, since runs were repeated; how often is not said
};

struct PaperRow {
  std::string title;
  std::string classifier;  ///< key of a FinetuneFit
  std::optional<Published> published = {};
};

struct PaperTable {
  std::string key, title;  ///< "table1", "Table 1: ResNet-50"
  std::vector<PaperRow> rows;
};

/// A point of the label-efficiency curves.
struct LabelPoint {
  std::string key;          ///< of its curve: "labels-clip"
  std::string pretraining;  ///< "none", "CLIP", …
  std::int64_t labels;
  std::string classifier;
};

struct PaperPlan {
  Experiment experiment;
  std::vector<PaperTable> tables;
  std::vector<LabelPoint> label_points;
  int seeds = 2;
};

struct PaperOptions {
  std::string scale = "small";  ///< tiny, small or paper
  /// Beginnings of classifiers' keys, and keys of tables and curves, whose rows may have keys of other tables; empty:
  /// all.
  std::vector<std::string> only = {};
  bool beyond = false;  ///< also what the paper does not have: fusion heads, equal compute, collapse
  /// Of the training split, once it is open: its memes, and twice those of the rarer class, since half of each class
  /// are taken. Until then no number of labels is too many.
  std::int64_t memes = std::numeric_limits<std::int64_t>::max(), most_labels = memes;
  std::string cnn_weights = {}, vit_weights = {}, text_weights = {};  ///< files for --scale paper
};

/// How many memes a scale makes for itself to train on; 0: it wants a folder.
int made_memes_of(const std::string& scale);

/// All fits of a scale; paths, device and seeds are left to the caller. Throws InvalidArgument for `only` that no
/// classifier's key begins with.
PaperPlan paper_plan(const PaperOptions& options);

/// What is complete on disk for every seed: rows and points with figures, pre-trainings with weights.
PaperPlan complete_part(PaperPlan plan);

/// The keys of all classifiers.
std::vector<std::string> keys_of(const PaperPlan& plan);

}  // namespace examples
