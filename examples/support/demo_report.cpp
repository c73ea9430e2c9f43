#include "support/demo_report.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/metrics.hpp>

#include "support/experiment.hpp"
#include "support/fit_results.hpp"
#include "support/report_memes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace examples {
namespace {

sm::ReportRow table_row(const FinetuneFit& fit, const std::vector<RunResults>& runs) {
  auto row = report_row(fit.title, runs);
  row.extra.push_back({"auroc_unseen", "AUROC, test_unseen",
                       over_seeds(runs, [](const RunResults& r) { return r.of("test_unseen").auroc; })});
  return row;
}

std::vector<sm::LossChart> charts(const Experiment& demo, int seeds) {
  const auto of_cass_mm = histories_of(demo, seeds, "cass_mm");
  sm::LossChart cass{"figure-cass-mm",
                     "CASS-MM pre-training",
                     "Loss of each edge against epochs: the CNN and the ViT learn from the words and from "
                     "each other (mean over seeds). ln(batch) is where InfoNCE starts.",
                     "epoch",
                     "loss",
                     {mean_curve(of_cass_mm, "CNN – text (InfoNCE)", "cnn-text"),
                      mean_curve(of_cass_mm, "ViT – text (InfoNCE)", "vit-text"),
                      mean_curve(of_cass_mm, "CNN – ViT (cosine)", "cnn-vit")}};
  sm::LossChart clip{"figure-clip",
                     "CLIP pre-training",
                     "Contrastive loss between picture and words against epochs (mean over seeds).",
                     "epoch",
                     "loss",
                     {mean_curve(histories_of(demo, seeds, "clip"), "ViT – text (InfoNCE)", "image-text")}};
  sm::LossChart finetune{"figure-finetune",
                         "Fine-tuning on labels",
                         "Training loss of every row against epochs (mean over seeds). ln 2 = 0.693 is chance.",
                         "epoch",
                         "binary cross-entropy",
                         {}};
  for (const auto& fit : demo.classifiers)
    finetune.curves.push_back(mean_curve(histories_of(demo, seeds, fit.key), fit.title, "bce"));
  return {cass, clip, finetune};
}

/// The worst mistakes of one classifier on test_seen.
sm::Gallery gallery(const Experiment& demo, const FinetuneFit& fit, const sm::Predictions& p, double threshold) {
  constexpr std::size_t shown = 24;
  const MemesById memes{demo.data, demo.test};
  std::vector<std::size_t> all(p.ids.size());
  std::iota(all.begin(), all.end(), 0);
  const auto order = worst_first(p, std::move(all), shown);

  sm::Gallery gallery{"figure-memes-" + fit.key,
                      "Memes as " + fit.title + " judges them",
                      fmt::format("The {} memes of test_seen with the worst scores, worst first; each with its words, "
                                  "its label and the score of "
                                  "the first seed.",
                                  order.size()),
                      threshold,
                      {}};
  for (const auto i : order) {
    gallery.memes.push_back({memes.picture(p.ids[i]), memes.text(p.ids[i]), p.labels[i], p.scores[i], p.ids[i]});
  }
  return gallery;
}

}  // namespace

Experiment demo_experiment(const DemoOptions& options) {
  constexpr int size = 64;
  Experiment demo;
  demo.out = options.out;
  demo.data.data = (options.out / "memes").string();
  demo.data.layout = "memes";
  demo.pool = "unlabelled";
  demo.clip_projection = sm::ProjectionKind::mlp;
  demo.also = {"test_unseen"};
  demo.cnn = "resnet18:width=16,depth=1";
  demo.vit = "vit_tiny_patch16_224:patch_size=8,width=96,depth=2";
  demo.text = "minilm_l6:width=96,depth=2,dropout=0,max_tokens=24";
  const auto pretraining = [&](const char* key, const char* title, Pretraining method) {
    demo.pretrainings.push_back(
        {.key = key, .title = title, .method = method, .size = size, .epochs = options.pretrain_epochs});
  };
  pretraining("clip", "CLIP", Pretraining::clip);
  pretraining("cass_mm", "CASS-MM", Pretraining::cass_mm);
  const auto classifier = [&](const char* key, const char* title, PictureEncoder picture, bool words,
                              const char* from) {
    demo.classifiers.push_back({.key = key,
                                .title = title,
                                .picture = picture,
                                .words = words,
                                .from = from,
                                .size = size,
                                .epochs = options.finetune_epochs});
  };
  using enum PictureEncoder;
  classifier("supervised_picture", "supervised, picture only", cnn, false, "");
  classifier("supervised_words", "supervised, words only", none, true, "");
  classifier("supervised_both", "supervised, both", cnn, true, "");
  classifier("clip_vit", "CLIP (ViT)", vit, true, "clip");
  classifier("cass_mm_vit", "CASS-MM (ViT)", vit, true, "cass_mm");
  classifier("cass_mm_cnn", "CASS-MM (ResNet)", cnn, true, "cass_mm");
  return demo;
}

sm::Report demo_report(const Experiment& demo, int seeds, double seconds) {
  sm::Report report;
  report.title = "Harmful memes: picture, words, or both?";
  report.subtitle =
      fmt::format("{} seeds, trained in {:.0f} s; measured on memes whose picture and caption never met in training",
                  seeds, seconds);
  report.notes = {
      "The memes are made by make_memes from emoji pictures and everyday captions. A put-down affirms a bad thing or "
      "denies a good one, so "
      "neither the picture nor the words alone tell: an AUROC of 0.5 is all that one of them can reach. They are a "
      "proxy and contain no hate speech.",
      "AUROC is pooled over test_seen (ties count half). Accuracy is at threshold 0.5, and at the threshold tuned on "
      "dev_seen. test_unseen holds "
      "pictures and paraphrases that training never saw; small networks without outside knowledge are expected near "
      "0.5 there.",
      "CLIP and CASS-MM were pre-trained on as many memes without labels, one in ten of them harmful, then fine-tuned "
      "like the "
      "supervised rows, for the same number of epochs. Figures of the table are over all seeds; ROC curves and judged "
      "memes are those of seed 0."};
  for (const auto& fit : demo.classifiers) {
    const auto runs = results_of(demo, seeds, fit.key);
    report.rows.push_back(table_row(fit, runs));
    const auto& first = runs.front();
    const auto predictions = read_predictions(fit_folder(demo, 0, fit.key), first.test);
    report.rocs.push_back(
        {fit.title, sm::roc_curve(predictions.scores, predictions.labels), first.of(first.test).auroc});
    if (fit.key == "supervised_picture" || fit.key == "cass_mm_cnn")
      report.galleries.push_back(gallery(demo, fit, predictions, first.threshold));
  }
  std::reverse(report.galleries.begin(), report.galleries.end());
  report.charts = charts(demo, seeds);
  report.config = fmt::format("size {}, batch {}, pre-training epochs {}, fine-tuning epochs {}, peak learning rate {}",
                              demo.classifiers.front().size, demo.batch, demo.pretrainings.front().epochs,
                              demo.classifiers.front().epochs, demo.lr);
  return report;
}

}  // namespace examples
