#include "support/demo_report.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/data/meme_jsonl.hpp>
#include <sslmeme/eval/metrics.hpp>
#include <sslmeme/train/session.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

namespace examples {
namespace {

sm::ReportRow table_row(const DemoRow& row, const std::vector<RunResults>& runs) {
  const auto over_seeds = [&](auto figure) {
    std::vector<double> values;
    for (const auto& run : runs) values.push_back(figure(run));
    return sm::summarize(values);
  };
  return {row.title,
          over_seeds([](const RunResults& r) { return r.of(r.test).auroc; }),
          over_seeds([](const RunResults& r) { return r.of(r.test).accuracy; }),
          {{"accuracy_tuned", "accuracy, tuned on dev",
            over_seeds([](const RunResults& r) { return r.of(r.test).tuned_accuracy; })},
           {"auroc_unseen", "AUROC, test_unseen",
            over_seeds([](const RunResults& r) { return r.of("test_unseen").auroc; })}}};
}

/// One value of every epoch of a fit, the mean over seeds.
sm::LossCurve curve(const DemoOptions& options, int seeds, const std::string& fit, const std::string& name,
                    const std::string& part) {
  sm::LossCurve mean{name, {}, {}};
  for (int seed = 0; seed < seeds; ++seed) {
    const auto history = sm::read_history(fit_folder(options, seed, fit));
    mean.epoch.resize(history.size());
    mean.value.resize(history.size());
    for (std::size_t i = 0; i < history.size(); ++i) {
      mean.epoch[i] = static_cast<double>(history[i].epoch + 1);
      const auto& parts = history[i].parts;
      const auto found = std::find_if(parts.begin(), parts.end(), [&](const auto& p) { return p.first == part; });
      if (found == parts.end()) throw sm::DataError(fmt::format("the run {} logged no loss \"{}\"", fit, part));
      mean.value[i] += found->second / seeds;
    }
  }
  return mean;
}

std::vector<sm::LossChart> charts(const DemoOptions& options, int seeds) {
  sm::LossChart cass{"figure-cass-mm",
                     "CASS-MM pre-training",
                     "Loss of each edge against epochs: the CNN and the ViT learn from the words and from "
                     "each other (mean over seeds). ln(batch) is where InfoNCE starts.",
                     "epoch",
                     "loss",
                     {curve(options, seeds, "cass_mm", "CNN – text (InfoNCE)", "cnn-text"),
                      curve(options, seeds, "cass_mm", "ViT – text (InfoNCE)", "vit-text"),
                      curve(options, seeds, "cass_mm", "CNN – ViT (cosine)", "cnn-vit")}};
  sm::LossChart clip{"figure-clip",
                     "CLIP pre-training",
                     "Contrastive loss between picture and words against epochs (mean over seeds).",
                     "epoch",
                     "loss",
                     {curve(options, seeds, "clip", "ViT – text (InfoNCE)", "image-text")}};
  sm::LossChart finetune{"figure-finetune",
                         "Fine-tuning on labels",
                         "Training loss of every row against epochs (mean over seeds). ln 2 = 0.693 is chance.",
                         "epoch",
                         "binary cross-entropy",
                         {}};
  for (const auto& row : demo_rows()) finetune.curves.push_back(curve(options, seeds, row.key, row.title, "bce"));
  return {cass, clip, finetune};
}

/// The worst mistakes of one classifier on test_seen.
sm::Gallery gallery(const DemoOptions& options, const DemoRow& row, const sm::Predictions& p, double threshold) {
  constexpr std::size_t shown = 24;
  const sm::MemeJsonl memes{options.out / "memes", "test_seen"};
  std::unordered_map<std::int64_t, std::size_t> position;
  for (std::size_t i = 0; i < memes.size(); ++i) position[memes.id(i)] = i;

  std::vector<std::size_t> order(p.ids.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto error = [&](std::size_t i) { return std::abs(static_cast<double>(p.labels[i]) - p.scores[i]); };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return error(a) > error(b); });
  order.resize(std::min(shown, order.size()));

  sm::Gallery gallery{"figure-memes-" + row.key,
                      "Memes as " + row.title + " judges them",
                      fmt::format("The {} memes of test_seen with the worst scores, worst first; each with its words, "
                                  "its label and the score of "
                                  "the first seed.",
                                  order.size()),
                      threshold,
                      {}};
  for (const auto i : order) {
    const auto& record = memes.records()[position.at(p.ids[i])];
    gallery.memes.push_back({options.out / "memes" / record.picture, record.text, p.labels[i], p.scores[i], p.ids[i]});
  }
  return gallery;
}

}  // namespace

sm::Report demo_report(const DemoOptions& options, int seeds, double seconds) {
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
      "CLIP and CASS-MM were pre-trained on the training memes without their labels, then fine-tuned like the "
      "supervised rows, for the same number of epochs. Figures of the table are over all seeds; ROC curves and judged "
      "memes are those of seed 0."};
  for (const auto& row : demo_rows()) {
    std::vector<RunResults> runs;
    for (int seed = 0; seed < seeds; ++seed) runs.push_back(read_results(fit_folder(options, seed, row.key)));
    report.rows.push_back(table_row(row, runs));
    const auto& first = runs.front();
    const auto predictions = read_predictions(fit_folder(options, 0, row.key), first.test);
    report.rocs.push_back(
        {row.title, sm::roc_curve(predictions.scores, predictions.labels), first.of(first.test).auroc});
    if (row.key == "supervised_picture" || row.key == "cass_mm_cnn")
      report.galleries.push_back(gallery(options, row, predictions, first.threshold));
  }
  std::reverse(report.galleries.begin(), report.galleries.end());
  report.charts = charts(options, seeds);
  report.config =
      fmt::format("size {}, batch {}, pre-training epochs {}, fine-tuning epochs {}, peak learning rate {}",
                  options.size, options.batch, options.pretrain_epochs, options.finetune_epochs, options.lr);
  return report;
}

}  // namespace examples
