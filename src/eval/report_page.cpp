#include "eval/report_page.hpp"

#include "eval/report_chart.hpp"
#include "eval/report_html.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

namespace sslmeme::detail {
namespace {

std::string caption(const std::string& title, const std::string& text) {
  return fmt::format("<figcaption><h3>{}</h3>{}</figcaption>\n", escape_html(title),
                     text.empty() ? "" : "<p>" + escape_html(text) + "</p>");
}

/// AUROC as a bar from chance, 0.5, with its deviation as a whisker: 0 is at the left end, 1 at the right.
std::string spark(const Summary& summary) {
  constexpr double width = 128, middle = 11;
  const auto at = [](double value) { return 4 + (width - 8) * std::clamp(value, 0.0, 1.0); };
  const double mean = at(summary.mean), half = at(0.5);
  return fmt::format(
      R"(<svg viewBox="0 0 {0:.0f} 22" aria-hidden="true"><rect class="bar" x="{1:.1f}" y="6" width="{2:.1f}" height="10"/>)"
      R"(<path class="half" d="M{3:.1f} 2V20"/><path class="range" d="M{4:.1f} {5}H{6:.1f}"/><circle class="mean" cx="{7:.1f}" cy="{5}" r="3.4"/></svg>)",
      width, std::min(mean, half), std::abs(mean - half), half, at(summary.mean - summary.deviation), middle,
      at(summary.mean + summary.deviation), mean);
}

std::string cell(const Summary& summary, std::string_view css_class = {}) {
  const auto attribute = css_class.empty() ? std::string{} : fmt::format(" class=\"{}\"", css_class);
  if (summary.n < 2) return fmt::format("<td{}>{}</td>", attribute, mean_and_deviation(summary));
  return fmt::format(R"(<td{}>{:.3f} <span class="plain">± {:.3f}</span></td>)", attribute, summary.mean,
                     summary.deviation);
}

std::string meme_card(const ScoredMeme& meme, double threshold) {
  const bool held = meme.score >= threshold;
  const bool right = held == (meme.label == 1);
  const auto name = [](bool harmful) { return harmful ? "harmful" : "harmless"; };
  const auto verdict = right ? fmt::format("✓ rightly held for {}", name(held))
                             : fmt::format("✗ held for {}, is {}", name(held), name(!held));
  return fmt::format(
      R"(<li class="meme {}"><img src="{}" alt="Picture of meme {}" loading="lazy" decoding="async"><p class="words">{}</p>)"
      R"(<div class="score"><div class="scale" aria-hidden="true"><i style="width:{:.1f}%"></i><b style="left:{:.1f}%"></b></div>)"
      R"(score {:.3f} <span>id {}</span></div><p class="verdict">{}</p></li>)"
      "\n",
      right ? "right" : "wrong", data_uri(meme.picture), meme.id,
      meme.text.empty() ? "<em>(no words)</em>" : escape_html(meme.text), 100 * meme.score, 100 * threshold, meme.score,
      meme.id, verdict);
}

}  // namespace

std::vector<ExtraColumn> extra_columns(std::span<const ReportRow> rows) {
  std::vector<ExtraColumn> columns;
  for (const auto& row : rows) {
    for (const auto& extra : row.extra) {
      if (std::ranges::find(columns, extra.key, &ExtraColumn::key) == columns.end())
        columns.push_back({extra.key, extra.title});
    }
  }
  return columns;
}

const Summary* find_extra(const ReportRow& row, const std::string& key) {
  const auto found = std::ranges::find(row.extra, key, &ReportColumn::key);
  return found == row.extra.end() ? nullptr : &found->value;
}

std::string table_section(std::span<const ReportRow> rows) {
  const auto columns = extra_columns(rows);
  const auto best = std::ranges::max_element(rows, {}, [](const ReportRow& row) { return row.auroc.mean; });
  std::string html =
      "<section aria-labelledby=\"results\"><h2 id=\"results\">Results</h2>\n<figure id=\"figure-table\">\n"
      "<figcaption><h3>Every model in figures</h3><p>Mean ± standard deviation over seeds; the best AUROC is bold.</p>"
      "<p class=\"spark\">The bar starts at 0.5, where guessing ends up; the dot is the mean AUROC and its whisker one "
      "deviation.</p></figcaption>\n"
      "<div class=\"scroll\" role=\"region\" aria-label=\"Results table\" tabindex=\"0\"><table>\n<thead><tr><th "
      "scope=\"col\">Model</th>"
      "<th scope=\"col\">AUROC</th><td class=\"spark\"></td><th scope=\"col\">Accuracy</th>";
  for (const auto& column : columns) html += fmt::format("<th scope=\"col\">{}</th>", escape_html(column.title));
  html += "<th scope=\"col\">Seeds</th></tr></thead>\n<tbody>\n";
  for (auto row = rows.begin(); row != rows.end(); ++row) {
    html += fmt::format("<tr{}><th scope=\"row\">{}</th>{}<td class=\"spark\">{}</td>{}",
                        row == best ? " class=\"best\"" : "", escape_html(row->model), cell(row->auroc, "main"),
                        spark(row->auroc), cell(row->accuracy));
    for (const auto& column : columns) {
      const auto* value = find_extra(*row, column.key);
      html += cell(value != nullptr ? *value : Summary{});
    }
    html += fmt::format("<td>{}</td></tr>\n", row->auroc.n);
  }
  return html + "</tbody></table></div>\n</figure></section>\n";
}

std::string charts_section(std::span<const LossChart> charts) {
  std::string html = "<section aria-labelledby=\"losses\"><h2 id=\"losses\">Training</h2>\n<div class=\"panels\">\n";
  for (const auto& chart : charts) {
    std::vector<ChartLine> lines;
    for (const auto& curve : chart.curves) lines.push_back({curve.name, curve.epoch, curve.value, {}});
    html += fmt::format("<figure class=\"panel\" id=\"{}\">\n{}{}{}</figure>\n", chart.id,
                        caption(chart.title, chart.caption), chart_legend(lines),
                        svg_chart({chart.title + ". " + chart.caption, chart.x_label, chart.y_label}, lines));
  }
  return html + "</div></section>\n";
}

std::string roc_section(std::span<const RocSeries> rocs) {
  std::vector<ChartLine> lines;
  for (const auto& roc : rocs)
    lines.push_back({roc.name, roc.curve.fpr, roc.curve.tpr, fmt::format("{:.3f}", roc.auroc)});
  const std::string text =
      "What each model finds of the harmful memes (upwards) against what it wrongly takes for harmful (to the right), "
      "as its threshold falls. "
      "The dotted diagonal is guessing; the number is the area under the curve.";
  return fmt::format(
      "<section aria-labelledby=\"roc\"><h2 id=\"roc\">ROC curves</h2>\n<figure class=\"panel aside\" "
      "id=\"figure-roc\">\n"
      "<div>{}{}</div>\n{}</figure></section>\n",
      caption("Found against falsely accused", text), chart_legend(lines),
      svg_chart({"ROC curves. " + text, "false positive rate", "true positive rate", true}, lines));
}

std::string gallery_section(const Gallery& gallery) {
  auto memes = gallery.memes;
  std::ranges::sort(memes, {}, [](const ScoredMeme& meme) {
    return std::tuple{-std::abs(static_cast<double>(meme.label) - meme.score), meme.id};
  });
  const auto wrong = std::ranges::count_if(
      memes, [&](const auto& meme) { return (meme.score >= gallery.threshold) != (meme.label == 1); });
  auto html = fmt::format("<section aria-labelledby=\"{0}-title\"><h2 id=\"{0}-title\">{1}</h2>\n<figure id=\"{0}\">\n",
                          gallery.id, escape_html(gallery.title));
  html += "<figcaption><p>" + escape_html(gallery.caption) +
          fmt::format(
              " {} of these {} are wrong at the threshold {}, which the tick on each scale marks; the worst mistakes "
              "come first.</p></figcaption>\n",
              wrong, memes.size(), short_number(gallery.threshold));
  html += "<ol class=\"memes\">\n";
  for (const auto& meme : memes) html += meme_card(meme, gallery.threshold);
  return html + "</ol>\n</figure></section>\n";
}

}  // namespace sslmeme::detail
