// Reliability above, and below it, along the same axis, how many memes of each class get which probability.
#include "eval/report_chart.hpp"
#include "eval/report_html.hpp"
#include "eval/report_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sslmeme::detail {
namespace {

constexpr double top = 24, square = chart_right - chart_left, strip_top = top + square + 16, strip_height = 84,
                 strip_middle = strip_top + strip_height / 2, strip_bottom = strip_top + strip_height;

/// A line through the bins that have samples.
std::string reliability_path(const std::vector<ReliabilityBin>& bins, const Axis& x, const Axis& y) {
  std::string path;
  for (const auto& bin : bins) {
    if (bin.n > 0)
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? 'M' : 'L', x(bin.mean_probability), y(bin.harmful));
  }
  return path;
}

/// A dot a bin, the larger the more samples, and its way to the diagonal: the error.
std::string reliability_dots(const std::vector<ReliabilityBin>& bins, const Axis& x, const Axis& y) {
  std::int64_t most = 1;
  for (const auto& bin : bins) most = std::max(most, bin.n);
  std::string svg;
  for (const auto& bin : bins) {
    if (bin.n == 0) continue;
    const double radius = 2.2 + 4.8 * std::sqrt(static_cast<double>(bin.n) / static_cast<double>(most));
    svg += fmt::format(
        R"(<path class="gap" d="M{0:.1f} {1:.1f}V{2:.1f}"/><circle class="bin" cx="{0:.1f}" cy="{2:.1f}" r="{3:.1f}"><title>{4}</title></circle>)",
        x(bin.mean_probability), y(bin.mean_probability), y(bin.harmful), radius,
        fmt::format("{} memes held for harmful with {:.2f} on average; {:.0f} % of them are", bin.n,
                    bin.mean_probability, 100 * bin.harmful));
  }
  return svg;
}

/// Bars upwards from the middle of the strip for one class, downwards for the other.
std::string bars(const std::vector<std::int64_t>& counts, std::int64_t most, int direction, std::string_view name,
                 const Axis& x) {
  auto svg = fmt::format(R"(<g class="class-{}">)", name);
  const auto bins = static_cast<double>(counts.size());
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    const double low = static_cast<double>(i) / bins, high = static_cast<double>(i + 1) / bins;
    const double height = (strip_height / 2 - 2) * static_cast<double>(counts[i]) / static_cast<double>(most);
    svg += fmt::format(
        R"(<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{} {} memes between {:.2f} and {:.2f}</title></rect>)",
        x(low) + 0.5, direction > 0 ? strip_middle - 1 - height : strip_middle + 1, x(high) - x(low) - 1, height,
        counts[i], name, low, high);
  }
  return svg + "</g>";
}

std::string strip(const CalibrationSeries& series, const Axis& x) {
  std::int64_t most = 1;
  for (const auto& counts : {series.harmful, series.harmless}) {
    for (const auto n : counts) most = std::max(most, n);
  }
  return bars(series.harmful, most, 1, "harmful", x) + bars(series.harmless, most, -1, "harmless", x) +
         fmt::format(R"(<g class="ticks"><path d="M{:.1f} {:.1f}H{:.1f}"/></g>)", chart_left, strip_middle,
                     chart_right);
}

std::string diagram(const CalibrationSeries& series) {
  auto x = unit_axis(), y = unit_axis();
  x.place(chart_left, chart_right);
  y.place(top + square, top);
  auto feet = x;  // the ticks of x stand below the strip
  x.ticks.clear();
  auto svg = fmt::format(
      R"(<svg class="chart" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">)", chart_width, strip_bottom + 40,
      escape_html(fmt::format("Reliability diagram of {}: expected calibration error {:.3f} before and {:.3f} after "
                              "temperature scaling, and a histogram of scores by class.",
                              series.name, series.error_before, series.error_after)));
  svg += axes_svg(x, y, {.x = "", .y = "part that is harmful", .bottom = 0, .diagonal = true});
  svg += R"(<g class="ticks">)";
  for (const double tick : feet.ticks) {
    svg += fmt::format(R"(<path d="M{0:.1f} {1:.1f}v4"/><text x="{0:.1f}" y="{2:.1f}" text-anchor="middle">{3}</text>)",
                       feet(tick), strip_bottom, strip_bottom + 16, short_number(tick));
  }
  svg += fmt::format(R"(<path d="M{:.1f} {:.1f}H{:.1f}"/></g>)", chart_left, strip_bottom, chart_right);
  svg += fmt::format(R"(<text class="axis" x="{:.1f}" y="{:.1f}" text-anchor="middle">probability of harmful</text>)",
                     (chart_left + chart_right) / 2, strip_bottom + 35);
  const double mark = x(std::clamp(series.threshold, 0.0, 1.0));
  svg +=
      fmt::format(R"(<path class="threshold" d="M{0:.1f} {1:.1f}V{2:.1f}"><title>tuned threshold {3}</title></path>)",
                  mark, top, strip_bottom, short_number(series.threshold));
  svg += strip(series, x);
  if (series.temperature != 1)
    svg +=
        fmt::format(R"(<g class="soft dashed"><path class="line" d="{}"/></g>)", reliability_path(series.before, x, y));
  svg += fmt::format(R"(<g class="s0"><path class="line" d="{}"/>{}</g></svg>)", reliability_path(series.after, x, y),
                     reliability_dots(series.after, x, y));
  return svg + "\n";
}

std::string key(std::string_view css, std::string_view mark, const std::string& text, const std::string& note) {
  return fmt::format(
      R"(<li><svg class="key {}" viewBox="0 0 22 8" aria-hidden="true">{}</svg>{} <span class="note">{}</span></li>)",
      css, mark, text, note);
}

std::string legend(const CalibrationSeries& series) {
  constexpr std::string_view line = R"(<path class="line" d="M1 4H21"/>)",
                             block = R"(<rect x="4" width="14" height="8"/>)";
  const bool scaled = series.temperature != 1;
  auto html = std::string{"<ul class=\"legend\">"};
  html += key("s0", line, scaled ? fmt::format("divided by T = {:.2f}", series.temperature) : "as it is",
              fmt::format("ECE {:.3f}", series.error_after));
  if (scaled) html += key("soft dashed", line, "before", fmt::format("ECE {:.3f}", series.error_before));
  html += key("class-harmful", block, "harmful", "") + key("class-harmless", block, "harmless", "");
  return html + "</ul>\n";
}

}  // namespace

std::string calibration_figure(std::span<const CalibrationSeries> series) {
  auto html = std::string{"<figure id=\"figure-calibration\">\n"} +
              figure_caption(
                  "When it says 80 %, is it right 8 times of 10?",
                  "Each dot is the memes of one bin of probabilities, the larger the more; on the dotted diagonal the "
                  "probability means what it says. Below: how many harmful memes (upwards) and harmless ones "
                  "(downwards) get which probability; the dashed line is the threshold tuned on dev. "
                  "Temperature and threshold come from the dev split, ECE is the expected calibration error "
                  "on the test split.") +
              "<div class=\"panels\">\n";
  for (const auto& one : series)
    html +=
        fmt::format("<div class=\"panel\"><h4>{}</h4>\n{}{}</div>\n", escape_html(one.name), legend(one), diagram(one));
  return html + "</div></figure>\n";
}

}  // namespace sslmeme::detail
