// Line charts as inline SVG. Colours come from the page's style sheet (classes s0 … s7), so they follow light and dark.
#pragma once

#include <sslmeme/eval/curve_bands.hpp>

#include "eval/report_axes.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace sslmeme::detail {

struct ChartLine {
  std::string name = {};
  std::vector<double> x = {}, y = {};
  std::string note = {};               ///< beside the name in the legend, such as "0.987"
  std::vector<double> deviation = {};  ///< bars of ± that
  CurveBand band = {};                 ///< a shade about the line
};

struct ChartFrame {
  std::string label = {};  ///< what people who do not see the chart are told
  std::string x_label = {}, y_label = {};
  bool unit_square = false;         ///< both axes from 0 to 1, equally long
  bool diagonal = false;            ///< a dotted line from corner to corner: what guessing gives
  std::vector<double> guides = {};  ///< dotted horizontal lines
  bool log_x = false;
  std::string extra = {};  ///< further SVG, on top
};

/// The chart as an <svg> element.
std::string svg_chart(const ChartFrame& frame, std::span<const ChartLine> lines);

/// Its legend as a <ul> element.
std::string chart_legend(std::span<const ChartLine> lines);

/// The class of the style sheet that gives the colour and dashes of the i-th line.
std::string line_class(std::size_t index);

/// The box of a chart's axes: x from the left to the right, and so from where to where in the <svg> of 400 units.
inline constexpr double chart_width = 400, chart_left = 46, chart_right = 386;

}  // namespace sslmeme::detail
