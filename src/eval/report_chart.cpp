#include "eval/report_chart.hpp"

#include "eval/report_html.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace sslmeme::detail {
namespace {

constexpr std::size_t colours = 8;        // classes s0 … s7 of the style sheet
constexpr std::size_t hover_points = 80;  // of a line at most: more would be closer together than a pointer can tell

struct Axis {
  double low = 0, high = 1;      // in the data's units
  double start = 0, length = 1;  // in the chart's
  std::vector<double> ticks;
  double operator()(double value) const { return start + (value - low) / (high - low) * length; }
};

struct Extent {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

bool is_point(const ChartLine& line, std::size_t i) {
  return std::isfinite(line.x[i]) && std::isfinite(line.y[i]);
}

/// Ticks that cover the extent, and from zero if that costs little of the height.
Axis rounded_axis(Extent extent, bool from_zero, int count) {
  if (extent.low > extent.high) extent = {0, 1};
  if (from_zero && extent.low > 0 && extent.low < 0.4 * extent.high) extent.low = 0;
  Axis axis;
  axis.ticks = round_ticks(extent.low, extent.high, count);
  axis.low = axis.ticks.front();
  axis.high = axis.ticks.back();
  return axis;
}

/// Ticks inside the extent, whose ends are those of the data.
Axis tight_axis(Extent extent, int count) {
  if (extent.low > extent.high) extent = {0, 1};
  if (extent.low == extent.high) extent = {extent.low - 0.5, extent.high + 0.5};
  Axis axis;
  axis.low = extent.low;
  axis.high = extent.high;
  for (const double tick : round_ticks(extent.low, extent.high, count)) {
    if (tick >= axis.low && tick <= axis.high) axis.ticks.push_back(tick);
  }
  return axis;
}

std::string line_class(std::size_t index) {
  return fmt::format("s{}{}", index % colours, index / colours % 2 == 1 ? " dashed" : "");
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

/// Marks that tell their value when pointed at; drawn only where the points are few.
std::string marks_of(const ChartFrame& frame, const ChartLine& line, const Axis& x, const Axis& y) {
  std::string marks;
  const auto stride = std::max<std::size_t>(1, (line.x.size() + hover_points - 1) / hover_points);
  const double radius = frame.unit_square || line.x.size() > 30 ? 0 : 2.2;
  for (std::size_t i = 0; i < line.x.size(); i += stride) {
    if (!is_point(line, i)) continue;
    const auto px = x(line.x[i]), py = y(line.y[i]);
    if (radius > 0) marks += fmt::format(R"(<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="{}"/>)", px, py, radius);
    marks +=
        fmt::format(R"(<circle class="hit" cx="{:.1f}" cy="{:.1f}" r="6"><title>{}: {} {}, {} {}</title></circle>)", px,
                    py, escape_html(line.name), escape_html(frame.x_label), short_number(line.x[i]),
                    escape_html(frame.y_label), short_number(line.y[i]));
  }
  return marks;
}

std::string axes_of(const ChartFrame& frame, const Axis& x, const Axis& y, double height) {
  const double left = x.start, right = x.start + x.length, bottom = y.start, top = y.start + y.length;
  std::string svg = R"(<g class="grid">)";
  for (const double tick : y.ticks) svg += fmt::format(R"(<path d="M{:.1f} {:.1f}H{:.1f}"/>)", left, y(tick), right);
  if (frame.unit_square)
    svg += fmt::format(R"(<path class="chance" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>)", left, bottom, right, top);
  svg += R"(</g><g class="ticks">)";
  for (const double tick : y.ticks) {
    svg += fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>)", left - 7, y(tick) + 3.8,
                       short_number(tick));
  }
  for (const double tick : x.ticks) {
    svg += fmt::format(R"(<path d="M{0:.1f} {1:.1f}v4"/><text x="{0:.1f}" y="{2:.1f}" text-anchor="middle">{3}</text>)",
                       x(tick), bottom, bottom + 16, short_number(tick));
  }
  svg += fmt::format(R"(<path d="M{:.1f} {:.1f}H{:.1f}"/></g>)", left, bottom, right);
  svg += fmt::format(R"(<text class="axis" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>)", left + x.length / 2,
                     height - 5, escape_html(frame.x_label));
  svg += fmt::format(R"(<text class="axis" x="{:.1f}" y="11">{}</text>)", 2.0, escape_html(frame.y_label));
  return svg;
}

}  // namespace

std::vector<double> round_ticks(double low, double high, int count) {
  if (!(high > low)) {
    const double margin = low == 0 ? 1 : std::abs(low) / 2;
    low -= margin;
    high += margin;
  }
  const double rough = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double digit = rough / power;
  const double step = power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
  std::vector<double> ticks;
  const double first = std::floor(low / step + 1e-9), last = std::ceil(high / step - 1e-9);
  for (double i = first; i <= last; ++i) ticks.push_back(i * step);
  return ticks;
}

std::string svg_chart(const ChartFrame& frame, std::span<const ChartLine> lines) {
  constexpr double width = 400, left = 46, right = 14, top = 24, bottom = 40;
  const double height = frame.unit_square ? width + top + bottom - left - right : 260;
  Extent xs, ys;
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.x.size(); ++i) {
      if (!is_point(line, i)) continue;
      xs.add(line.x[i]);
      ys.add(line.y[i]);
    }
  }
  auto x = frame.unit_square ? rounded_axis({0, 1}, false, 5) : tight_axis(xs, 6);
  auto y = frame.unit_square ? rounded_axis({0, 1}, false, 5) : rounded_axis(ys, true, 4);
  x.start = left;
  x.length = width - left - right;
  y.start = height - bottom;  // SVG counts downwards
  y.length = top - y.start;

  auto svg = fmt::format(R"(<svg class="chart" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">)", width, height,
                         escape_html(frame.label));
  svg += axes_of(frame, x, y, height);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    svg += fmt::format(R"(<g class="{}"><path class="line" d="{}"/>{}</g>)", line_class(i), path_of(lines[i], x, y),
                       marks_of(frame, lines[i], x, y));
  }
  return svg + "</svg>\n";
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
