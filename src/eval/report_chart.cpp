#include "eval/report_chart.hpp"

#include "eval/report_html.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sslmeme::detail {
namespace {

constexpr std::size_t colours = 8;        // classes s0 … s7 of the style sheet
constexpr std::size_t hover_points = 80;  // of a line at most: more would be closer together than a pointer can tell

bool is_point(const ChartLine& line, std::size_t i) {
  return std::isfinite(line.x[i]) && std::isfinite(line.y[i]);
}

double deviation_of(const ChartLine& line, std::size_t i) {
  return line.deviation.empty() || !std::isfinite(line.deviation[i]) ? 0 : line.deviation[i];
}

std::string path_of(const ChartLine& line, const Axis& x, const Axis& y) {
  std::string path, last;
  bool pen_down = false;
  for (std::size_t i = 0; i < line.x.size(); ++i) {
    if (!is_point(line, i)) {
      pen_down = false;
      continue;
    }
    auto point = fmt::format("{:.1f} {:.1f}", x(line.x[i]), y(line.y[i]));
    if (pen_down && point == last) continue;
    path += (pen_down ? 'L' : 'M') + point;
    last = std::move(point);
    pen_down = true;
  }
  return path;
}

/// The area between both lines of the band: along the upper one, and back along the lower one.
std::string band_of(const CurveBand& band, const Axis& x, const Axis& y) {
  if (band.x.empty()) return {};
  std::string path;
  for (std::size_t i = 0; i < band.x.size(); ++i)
    path += fmt::format("{}{:.1f} {:.1f}", i == 0 ? 'M' : 'L', x(band.x[i]), y(band.high[i]));
  for (std::size_t i = band.x.size(); i-- > 0;) path += fmt::format("L{:.1f} {:.1f}", x(band.x[i]), y(band.low[i]));
  return R"(<path class="band" d=")" + path + R"(Z"/>)";
}

std::string bars_of(const ChartLine& line, const Axis& x, const Axis& y) {
  std::string path;
  for (std::size_t i = 0; i < line.x.size(); ++i) {
    const double deviation = is_point(line, i) ? deviation_of(line, i) : 0;
    if (deviation == 0) continue;
    const double at = x(line.x[i]), low = y(line.y[i] - deviation), high = y(line.y[i] + deviation);
    path += fmt::format("M{0:.1f} {1:.1f}V{2:.1f}M{3:.1f} {1:.1f}H{4:.1f}M{3:.1f} {2:.1f}H{4:.1f}", at, low, high,
                        at - 3, at + 3);
  }
  return path.empty() ? path : R"(<path class="bars" d=")" + path + R"("/>)";
}

/// Marks that tell their value when pointed at; drawn only where the points are few.
std::string marks_of(const ChartFrame& frame, const ChartLine& line, const Axis& x, const Axis& y) {
  std::string marks;
  const auto stride = std::max<std::size_t>(1, (line.x.size() + hover_points - 1) / hover_points);
  const double radius = frame.unit_square || line.x.size() > 30 ? 0 : 2.2;
  for (std::size_t i = 0; i < line.x.size(); i += stride) {
    if (!is_point(line, i)) continue;
    const auto px = x(line.x[i]), py = y(line.y[i]);
    if (radius > 0) marks += fmt::format(R"(<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="{}"/>)", px, py, radius);
    const double deviation = deviation_of(line, i);
    marks += fmt::format(
        R"(<circle class="hit" cx="{:.1f}" cy="{:.1f}" r="6"><title>{}: {} {}, {} {}{}</title></circle>)", px, py,
        escape_html(line.name), escape_html(frame.x_label), short_number(line.x[i]), escape_html(frame.y_label),
        short_number(line.y[i]), deviation == 0 ? "" : " ± " + short_number(deviation));
  }
  return marks;
}

struct Axes {
  Axis x, y;
};

/// Axes that have room for all lines.
Axes axes_for(const ChartFrame& frame, std::span<const ChartLine> lines) {
  if (frame.unit_square) return {unit_axis(), unit_axis()};
  Extent xs, ys;
  std::vector<double> all_x;
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.x.size(); ++i) {
      if (!is_point(line, i)) continue;
      xs.add(line.x[i]);
      all_x.push_back(line.x[i]);
      ys.add(line.y[i] - deviation_of(line, i));
      ys.add(line.y[i] + deviation_of(line, i));
    }
  }
  for (const double guide : frame.guides) ys.add(guide);
  return {frame.log_x ? log_axis(std::move(all_x)) : tight_axis(xs, 6), rounded_axis(ys, true, 4)};
}

}  // namespace

std::string line_class(std::size_t index) {
  return fmt::format("s{}{}", index % colours, index / colours % 2 == 1 ? " dashed" : "");
}

std::string svg_chart(const ChartFrame& frame, std::span<const ChartLine> lines) {
  constexpr double top = 24, below = 40;
  const double height = frame.unit_square ? chart_right - chart_left + top + below : 260;
  auto [x, y] = axes_for(frame, lines);
  x.place(chart_left, chart_right);
  y.place(height - below, top);  // SVG counts downwards

  auto svg = fmt::format(R"(<svg class="chart" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">)", chart_width,
                         height, escape_html(frame.label));
  svg += axes_svg(x, y,
                  {.x = frame.x_label,
                   .y = frame.y_label,
                   .bottom = height - 5,
                   .guides = frame.guides,
                   .diagonal = frame.diagonal});
  for (std::size_t i = 0; i < lines.size(); ++i)  // shades first: no line is hidden by another's
    svg += lines[i].band.x.empty()
               ? ""
               : fmt::format(R"(<g class="{}">{}</g>)", line_class(i), band_of(lines[i].band, x, y));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    svg += fmt::format(R"(<g class="{}"><path class="line" d="{}"/>{}{}</g>)", line_class(i), path_of(lines[i], x, y),
                       bars_of(lines[i], x, y), marks_of(frame, lines[i], x, y));
  }
  return svg + frame.extra + "</svg>\n";
}

std::string chart_legend(std::span<const ChartLine> lines) {
  std::string html = "<ul class=\"legend\">\n";
  for (std::size_t i = 0; i < lines.size(); ++i) {
    html += fmt::format(
        R"(<li><svg class="key {}" viewBox="0 0 22 8" aria-hidden="true"><path class="line" d="M1 4H21"/></svg>{})",
        line_class(i), escape_html(lines[i].name));
    if (!lines[i].note.empty()) html += fmt::format(R"( <span class="note">{}</span>)", escape_html(lines[i].note));
    html += "</li>\n";
  }
  return html + "</ul>\n";
}

}  // namespace sslmeme::detail
