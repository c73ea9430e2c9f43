// Line charts as inline SVG. Colours come from the page's style sheet (classes s0 … s7), so they follow light and dark.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace sslmeme::detail {

struct ChartLine {
  std::string name;
  std::vector<double> x, y;
  std::string note;  ///< beside the name in the legend, such as "0.987"
};

struct ChartFrame {
  std::string label;  ///< what people who do not see the chart are told
  std::string x_label, y_label;
  bool unit_square = false;  ///< both axes from 0 to 1, equally long, with the diagonal that chance gives
};

/// About `count` round numbers (1, 2 or 5 times a power of ten apart) that cover [low, high].
std::vector<double> round_ticks(double low, double high, int count);

/// The chart as an <svg> element.
std::string svg_chart(const ChartFrame& frame, std::span<const ChartLine> lines);

/// Its legend as a <ul> element.
std::string chart_legend(std::span<const ChartLine> lines);

}  // namespace sslmeme::detail
