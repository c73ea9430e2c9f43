// The threshold explorer: counts at each threshold, made beforehand, for a slider; without scripts, a table.
#include "eval/report_chart.hpp"
#include "eval/report_html.hpp"
#include "eval/report_page.hpp"
#include "eval/report_script.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>

namespace sslmeme::detail {
namespace {

double flagged(const Confusion& counts) {
  const auto all = counts.tp + counts.fp + counts.tn + counts.fn;
  return all == 0 ? 0 : static_cast<double>(counts.tp + counts.fp) / static_cast<double>(all);
}

/// Where nothing is flagged there is no precision.
double precision(const Confusion& counts) {
  return counts.tp + counts.fp == 0 ? std::numeric_limits<double>::quiet_NaN() : counts.precision();
}

/// A figure as a line over the thresholds.
template <class Figure>
ChartLine line(const ThresholdSeries& series, std::string name, Figure figure) {
  ChartLine line{.name = std::move(name), .x = series.thresholds};
  for (const auto& counts : series.counts) line.y.push_back(std::invoke(figure, counts));
  return line;
}

std::vector<ChartLine> lines_of(const ThresholdSeries& series) {
  return {line(series, "precision", precision), line(series, "recall", &Confusion::recall),
          line(series, "F1", &Confusion::f1), line(series, "flagged", flagged)};
}

/// One model's chart, and its counts for the script: threshold,tp,fp,tn,fn for each threshold.
std::string model_part(const ThresholdSeries& series) {
  std::string counts;
  for (std::size_t i = 0; i < series.thresholds.size(); ++i) {
    const auto& [tp, fp, tn, fn] = series.counts[i];
    counts += fmt::format("{}{:.6g},{},{},{},{}", i == 0 ? "" : " ", series.thresholds[i], tp, fp, tn, fn);
  }
  const auto lines = lines_of(series);
  return fmt::format("<div class=\"model\" data-tuned=\"{}\" data-counts=\"{}\" hidden>{}{}</div>\n", series.tuned,
                     counts, chart_legend(lines),
                     svg_chart({.label = "Precision, recall, F1 and share of flagged memes of " + series.name +
                                         " at each threshold; the upright line is the slider's.",
                                .x_label = "threshold",
                                .y_label = "rate",
                                .unit_square = true,
                                .extra = fmt::format(R"(<path class="cursor" d="M{:.0f} 24V364"/>)", chart_left)},
                               lines));
}

std::string output(std::string_view name) {
  return fmt::format("<output data-show=\"{}\" aria-live=\"off\"></output>", name);
}

std::string count_cell(std::string_view name, std::string_view css, std::string_view text) {
  return fmt::format("<td class=\"{}\"><b>{}</b> <span>{}</span></td>", css, output(name), text);
}

std::string meter(std::string_view name, std::string_view title) {
  return fmt::format(
      "<div><dt>{}</dt><dd>{}<div class=\"scale\" aria-hidden=\"true\"><i data-bar=\"{}\"></i></div></dd></div>\n",
      title, output(name), name);
}

std::string controls(std::span<const ThresholdSeries> series) {
  std::string html = "<div class=\"controls\">\n";
  if (series.size() > 1) {
    html += "<div><label for=\"explorer-model\">Model</label> <select id=\"explorer-model\">";
    for (const auto& one : series) html += fmt::format("<option>{}</option>", escape_html(one.name));
    html += "</select></div>\n";
  }
  return html + "<div class=\"slide\"><label for=\"explorer-threshold\">Threshold</label> " + output("threshold") +
         "<input id=\"explorer-threshold\" type=\"range\" min=\"0\" max=\"100\" step=\"1\"></div>\n"
         "<button type=\"button\">As tuned on dev</button>\n</div>\n";
}

std::string readings() {
  return "<div class=\"readings\">\n<table class=\"confusion\"><thead><tr><td></td><th scope=\"col\">flagged</th>"
         "<th scope=\"col\">let through</th></tr></thead>\n<tbody><tr><th scope=\"row\">harmful</th>" +
         count_cell("tp", "good", "found") + count_cell("fn", "bad", "missed") +
         "</tr>\n<tr><th scope=\"row\">harmless</th>" + count_cell("fp", "bad", "falsely accused") +
         count_cell("tn", "good", "rightly let through") + "</tr></tbody></table>\n<dl class=\"meters\">\n" +
         meter("precision", "Precision") + meter("recall", "Recall") + meter("f1", "F1") +
         meter("accuracy", "Accuracy") + meter("flagged", "Flagged") + "</dl></div>\n";
}

/// What the slider would tell, at ten thresholds.
std::string static_table(const ThresholdSeries& series) {
  auto html =
      fmt::format("<div class=\"scroll\"><table><caption>{}</caption><thead><tr><th scope=\"col\">Threshold</th>",
                  escape_html(series.name));
  for (const auto* title : {"Found", "Missed", "Falsely accused", "Rightly let through", "Precision", "Recall", "F1",
                            "Accuracy", "Flagged"})
    html += fmt::format("<th scope=\"col\">{}</th>", title);
  html += "</tr></thead>\n<tbody>";
  for (std::size_t i = 0; i < series.thresholds.size(); ++i) {
    const double threshold = series.thresholds[i];
    const bool tenth = std::ranges::any_of(std::initializer_list<double>{.1, .2, .3, .4, .5, .6, .7, .8, .9},
                                           [&](double t) { return t == threshold; });
    if (!tenth && i != series.tuned) continue;
    const auto& c = series.counts[i];
    html += fmt::format(
        "<tr><th scope=\"row\">{:.3g}{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.3f}</td><td>{:.3f}</td>"
        "<td>{:.3f}</td><td>{:.3f}</td><td>{:.3f}</td></tr>\n",
        threshold, i == series.tuned ? ", tuned" : "", c.tp, c.fn, c.fp, c.tn, c.precision(), c.recall(), c.f1(),
        c.accuracy(), flagged(c));
  }
  return html + "</tbody></table></div>\n";
}

}  // namespace

std::string_view report_script() {
  return explorer_script;
}

std::string thresholds_figure(std::span<const ThresholdSeries> series) {
  auto html = "<figure id=\"figure-thresholds\" class=\"explorer\">\n" +
              figure_caption("How strict should it be?",
                             "A meme is flagged when its calibrated probability reaches the threshold. Move it to see "
                             "what that means on the test split; begin with the one tuned on dev, and do not choose by "
                             "what looks best here: this is the split that is measured.") +
              "<div class=\"live panel\" hidden>\n" + controls(series) + "<div class=\"halves\">\n<div>\n";
  for (const auto& one : series) html += model_part(one);
  html += "</div>\n" + readings() + "</div></div>\n<noscript>\n";
  for (const auto& one : series) html += static_table(one);
  return html + "</noscript></figure>\n";
}

}  // namespace sslmeme::detail
