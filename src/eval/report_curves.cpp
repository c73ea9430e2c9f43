#include "eval/report_chart.hpp"
#include "eval/report_html.hpp"
#include "eval/report_page.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sslmeme::detail {
namespace {

std::string panel(std::string_view id, std::string_view title, const std::string& text, const ChartFrame& frame,
                  std::span<const ChartLine> lines) {
  return fmt::format("<figure class=\"panel\" id=\"{}\">\n{}{}{}</figure>\n", id, figure_caption(title, text),
                     chart_legend(lines), svg_chart(frame, lines));
}

template <class Series>
std::string shade_note(std::span<const Series> series) {
  const bool shaded = std::ranges::any_of(series, [](const Series& one) { return !one.band.x.empty(); });
  return shaded ? " The shade is the bootstrap interval of each point." : "";
}

}  // namespace

std::string roc_figure(std::span<const RocSeries> rocs) {
  std::vector<ChartLine> lines;
  for (const auto& roc : rocs) {
    lines.push_back({.name = roc.name,
                     .x = roc.curve.fpr,
                     .y = roc.curve.tpr,
                     .note = fmt::format("{:.3f}", roc.auroc),
                     .band = roc.band});
  }
  const auto text =
      "What is found of the harmful memes (upwards) against what is wrongly taken for harmful (to the right), as the "
      "threshold falls. The dotted diagonal is guessing; the number is the area under the curve." +
      shade_note(rocs);
  return panel("figure-roc", "ROC: found against falsely accused", text,
               {.label = "ROC curves. " + text,
                .x_label = "false positive rate",
                .y_label = "true positive rate",
                .unit_square = true,
                .diagonal = true},
               lines);
}

std::string precision_recall_figure(std::span<const PrecisionRecallSeries> series) {
  std::vector<ChartLine> lines;
  std::vector<double> guesses;
  for (const auto& one : series) {
    lines.push_back({.name = one.name,
                     .x = one.curve.recall,
                     .y = one.curve.precision,
                     .note = fmt::format("{:.3f}", one.average_precision),
                     .band = one.band});
    if (std::ranges::find(guesses, one.harmful) == guesses.end()) guesses.push_back(one.harmful);
  }
  const auto text =
      "How many of the flagged memes are harmful (upwards) against how many of the harmful ones are flagged (to the "
      "right). The dotted line is guessing; the number is the average precision." +
      shade_note(series);
  return panel("figure-precision-recall", "Precision against recall", text,
               {.label = "Precision-recall curves. " + text,
                .x_label = "recall",
                .y_label = "precision",
                .unit_square = true,
                .guides = std::move(guesses)},
               lines);
}

std::string chart_figure(const LossChart& chart) {
  std::vector<ChartLine> lines;
  for (const auto& curve : chart.curves)
    lines.push_back({.name = curve.name, .x = curve.epoch, .y = curve.value, .deviation = curve.deviation});
  return panel(chart.id, chart.title, chart.caption,
               {.label = chart.title + ". " + chart.caption,
                .x_label = chart.x_label,
                .y_label = chart.y_label,
                .log_x = chart.log_x},
               lines);
}

}  // namespace sslmeme::detail
