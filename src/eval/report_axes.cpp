#include "eval/report_axes.hpp"

#include "eval/report_html.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sslmeme::detail {

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

Axis unit_axis() {
  return {.ticks = round_ticks(0, 1, 5)};
}

Axis rounded_axis(Extent extent, bool from_zero, int count) {
  if (extent.empty()) return unit_axis();
  if (from_zero && extent.low > 0 && extent.low < 0.4 * extent.high) extent.low = 0;
  Axis axis{.ticks = round_ticks(extent.low, extent.high, count)};
  axis.low = axis.ticks.front();
  axis.high = axis.ticks.back();
  return axis;
}

Axis tight_axis(Extent extent, int count) {
  if (extent.empty()) return unit_axis();
  if (extent.low == extent.high) extent = {extent.low - 0.5, extent.high + 0.5};
  Axis axis{.low = extent.low, .high = extent.high};
  for (const double tick : round_ticks(extent.low, extent.high, count)) {
    if (tick >= axis.low && tick <= axis.high) axis.ticks.push_back(tick);
  }
  return axis;
}

Axis log_axis(std::vector<double> values) {
  constexpr std::size_t few = 8;
  std::ranges::sort(values);
  values.erase(std::unique(values.begin(), values.end()), values.end());
  if (values.empty()) return {.low = 1, .high = 10, .ticks = {1, 10}, .logarithmic = true};
  Axis axis{.low = values.front(), .high = values.back(), .logarithmic = true};
  if (axis.low == axis.high) {
    axis.low /= 2;
    axis.high *= 2;
  }
  if (values.size() <= few) {
    axis.ticks = std::move(values);
  } else {
    for (double tick = std::pow(10, std::ceil(std::log10(axis.low))); tick <= axis.high; tick *= 10)
      axis.ticks.push_back(tick);
  }
  return axis;
}

std::string axes_svg(const Axis& x, const Axis& y, const AxisLabels& labels) {
  const double left = x.start, right = x.start + x.length, bottom = y.start, top = y.start + y.length;
  std::string svg = R"(<g class="grid">)";
  for (const double tick : y.ticks) svg += fmt::format(R"(<path d="M{:.1f} {:.1f}H{:.1f}"/>)", left, y(tick), right);
  if (labels.diagonal)
    svg += fmt::format(R"(<path class="chance" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>)", left, bottom, right, top);
  for (const double guide : labels.guides)
    svg += fmt::format(R"(<path class="chance" d="M{:.1f} {:.1f}H{:.1f}"/>)", left, y(guide), right);
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
                     labels.bottom, escape_html(labels.x));
  svg += fmt::format(R"(<text class="axis" x="{:.1f}" y="{:.1f}">{}</text>)", 2.0, top - 13, escape_html(labels.y));
  return svg;
}

}  // namespace sslmeme::detail
