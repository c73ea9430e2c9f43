#include "eval/report_html.hpp"
#include "eval/report_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace sslmeme::detail {
namespace {

/// AUROC as a bar from chance, 0.5, with its interval or deviation as a whisker: 0.4 is at the left end, 1 at the
/// right.
std::string spark(const ReportRow& row) {
  constexpr double width = 96, middle = 11;
  const auto at = [](double value) { return 4 + (width - 8) * (std::clamp(value, 0.4, 1.0) - 0.4) / 0.6; };
  const auto& auroc = row.auroc;
  const auto whisker =
      row.auroc_interval.value_or(Interval{auroc.mean - auroc.deviation, auroc.mean + auroc.deviation});
  const double mean = at(auroc.mean), half = at(0.5);
  return fmt::format(
      R"(<svg viewBox="0 0 {0:.0f} 22" aria-hidden="true"><rect class="bar" x="{1:.1f}" y="6" width="{2:.1f}" height="10"/>)"
      R"(<path class="half" d="M{3:.1f} 2V20"/><path class="range" d="M{4:.1f} {5}H{6:.1f}"/><circle class="mean" cx="{7:.1f}" cy="{5}" r="3.4"/></svg>)",
      width, std::min(mean, half), std::abs(mean - half), half, at(whisker.low), middle, at(whisker.high), mean);
}

std::string cell(const Summary& summary, bool best, const std::optional<Interval>& interval = {}) {
  const auto* const attribute = best ? " class=\"best\"" : "";
  if (interval) {
    return fmt::format(R"(<td{}>{:.3f} <span class="plain">{:.3f} – {:.3f}</span></td>)", attribute, summary.mean,
                       interval->low, interval->high);
  }
  if (summary.n < 2) return fmt::format("<td{}>{}</td>", attribute, mean_and_deviation(summary));
  return fmt::format(R"(<td{}>{:.3f} <span class="plain">± {:.3f}</span></td>)", attribute, summary.mean,
                     summary.deviation);
}

std::string head(std::string_view text) {
  return fmt::format("<th scope=\"col\">{}</th>", escape_html(text));
}

/// A column's best value: shown bold where it is, to the digits that are shown. Of a single row nothing is best.
class Best {
 public:
  template <class Value>
  Best(std::span<const ReportRow> rows, bool lower, Value value) : lower_{lower} {
    for (const auto& row : rows) {
      const Summary* summary = std::invoke(value, row);
      if (summary == nullptr || summary->n == 0) continue;
      ++rows_;
      best_ = std::max(best_, merit(*summary));
    }
  }
  bool operator()(const Summary& summary) const { return summary.n > 0 && rows_ > 1 && merit(summary) == best_; }

 private:
  double merit(const Summary& summary) const { return std::round(1000 * summary.mean) * (lower_ ? -1 : 1); }
  bool lower_;
  int rows_ = 0;
  double best_ = -std::numeric_limits<double>::infinity();
};

}  // namespace

std::vector<ExtraColumn> extra_columns(std::span<const ReportRow> rows) {
  std::vector<ExtraColumn> columns;
  for (const auto& row : rows) {
    for (const auto& extra : row.extra) {
      if (std::ranges::find(columns, extra.key, &ExtraColumn::key) == columns.end())
        columns.push_back({extra.key, extra.title, extra.lower_is_better});
    }
  }
  return columns;
}

const Summary* find_extra(const ReportRow& row, const std::string& key) {
  const auto found = std::ranges::find(row.extra, key, &ReportColumn::key);
  return found == row.extra.end() ? nullptr : &found->value;
}

bool has_accuracy(std::span<const ReportRow> rows) {
  return std::ranges::any_of(rows, [](const ReportRow& row) { return row.accuracy.n > 0; });
}

std::string highlights(std::span<const Highlight> highlights) {
  std::string html = "<dl class=\"highlights\">\n";
  for (const auto& one : highlights) {
    html += fmt::format("<div><dt>{}</dt><dd><b>{}</b><span>{}</span></dd></div>\n", escape_html(one.label),
                        escape_html(one.value), escape_html(one.note));
  }
  return html + "</dl>\n";
}

std::string table_figure(std::span<const ReportRow> rows, bool comparable) {
  const auto columns = extra_columns(rows);
  const bool accuracy = has_accuracy(rows);
  const bool intervals = std::ranges::any_of(rows, [](const auto& row) { return row.auroc_interval.has_value(); });
  std::string html = fmt::format(
      "<figure id=\"figure-table\">\n<figcaption><h3>Every model in figures</h3><p>Mean ± standard deviation over "
      "seeds{}{}.</p>"
      "<p class=\"spark\">The bar starts at 0.5, where guessing ends up; the dot is the AUROC and its whisker {}.</p>"
      "</figcaption>\n<div class=\"scroll\" role=\"region\" aria-label=\"Results table\" tabindex=\"0\"><table>\n"
      "<thead><tr>{}{}<td class=\"spark\"></td>{}",
      intervals ? ", or for a single seed the 95 % interval of its AUROC" : "",
      comparable ? "; the best of each column is bold"
                 : "; rows were measured on different memes, so that none of them is the best",
      intervals ? "that interval, or one deviation" : "one deviation", head("Model"), head("AUROC"),
      accuracy ? head("Accuracy") : "");
  for (const auto& column : columns) html += head(column.title);
  html += head("Seeds") + "</tr></thead>\n<tbody>\n";

  const Best best_auroc{rows, false, [](const ReportRow& row) { return &row.auroc; }};
  const Best best_accuracy{rows, false, [](const ReportRow& row) { return &row.accuracy; }};
  std::vector<Best> best;
  for (const auto& column : columns)
    best.emplace_back(rows, column.lower_is_better, [&](const ReportRow& row) { return find_extra(row, column.key); });
  for (const auto& row : rows) {
    html += fmt::format("<tr><th scope=\"row\">{}</th>{}<td class=\"spark\">{}</td>{}", escape_html(row.model),
                        cell(row.auroc, comparable && best_auroc(row.auroc), row.auroc_interval), spark(row),
                        accuracy ? cell(row.accuracy, comparable && best_accuracy(row.accuracy)) : "");
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const auto* value = find_extra(row, columns[i].key);
      html += value != nullptr ? cell(*value, comparable && best[i](*value)) : cell({}, false);
    }
    html += fmt::format("<td>{}</td></tr>\n", row.auroc.n);
  }
  return html + "</tbody></table></div>\n</figure>\n";
}

std::string tests_figure(const PairwiseTests& tests) {
  constexpr double level = 0.05;
  const auto n = tests.models.size();
  const double strict = level / static_cast<double>(tests.pairs.size());
  std::vector<std::string> cells(n * n, "<td class=\"same\">–</td>");
  for (const auto& [a, b, test] : tests.pairs) {
    const auto* const css = test.p < strict ? " class=\"best\"" : "";
    const auto put = [&](std::size_t row, std::size_t column, double difference) {
      cells[row * n + column] = fmt::format(R"(<td{}>{}{:.3f} <span class="plain">p {}</span></td>)", css,
                                            std::signbit(difference) ? "−" : "+", std::abs(difference),
                                            escape_html(test.p < 0.001 ? p_value(test.p) : "= " + p_value(test.p)));
    };
    put(a, b, test.auroc_a - test.auroc_b);
    put(b, a, test.auroc_b - test.auroc_a);
  }
  auto html =
      "<figure id=\"figure-tests\">\n" +
      figure_caption(
          "Is the difference more than chance?",
          fmt::format(
              "AUROC of the row minus AUROC of the column on the same memes, and how probable "
              "so large a difference were if both were equally good (DeLong's paired test, "
              "two-sided). Bold: p below {}{}. It is about these trained models; whether a "
              "method is better takes several seeds.",
              fmt::format("{:.2g}", strict),
              tests.pairs.size() > 1 ? fmt::format(", which is 0.05 shared by {} pairs", tests.pairs.size()) : "")) +
      "<div class=\"scroll\" role=\"region\" aria-label=\"Table of paired tests\" tabindex=\"0\"><table>\n"
      "<thead><tr><td></td>";
  for (const auto& model : tests.models) html += head(model);
  html += "</tr></thead>\n<tbody>\n";
  for (std::size_t row = 0; row < n; ++row) {
    html += fmt::format("<tr><th scope=\"row\">{}</th>", escape_html(tests.models[row]));
    for (std::size_t column = 0; column < n; ++column) html += cells[row * n + column];
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n</figure>\n";
}

std::string table_figure(const ReportTable& table) {
  auto html = fmt::format(
      "<figure id=\"{}\">\n{}<div class=\"scroll\" role=\"region\" aria-label=\"{}\" "
      "tabindex=\"0\"><table>\n<thead><tr>",
      table.id, figure_caption(table.title, table.caption), escape_html(table.title));
  for (const auto& column : table.columns) html += head(column);
  html += "</tr></thead>\n<tbody>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) {
      html += i == 0 ? fmt::format("<th scope=\"row\">{}</th>", escape_html(row[i]))
                     : fmt::format("<td>{}</td>", escape_html(row[i]));
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n</figure>\n";
}

}  // namespace sslmeme::detail
