// Axes of the report's charts: from the data's units to the chart's, with round ticks.
#pragma once

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace sslmeme::detail {

struct Axis {
  double low = 0, high = 1;      ///< in the data's units
  double start = 0, length = 1;  ///< in the chart's
  std::vector<double> ticks = {};
  bool logarithmic = false;

  double operator()(double value) const {
    const double part = logarithmic ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
    return start + part * length;
  }
  void place(double from, double to) {
    start = from;
    length = to - from;
  }
};

struct Extent {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    low = value < low ? value : low;
    high = value > high ? value : high;
  }
  bool empty() const { return low > high; }
};

/// About `count` round numbers (1, 2 or 5 times a power of ten apart) that cover [low, high].
std::vector<double> round_ticks(double low, double high, int count);

/// [0, 1] with ticks every 0.2.
Axis unit_axis();
/// Ticks that cover the extent, from zero if asked for and if that costs little of the height.
Axis rounded_axis(Extent extent, bool from_zero, int count);
/// Ticks inside the extent, whose ends are those of the data.
Axis tight_axis(Extent extent, int count);
/// A logarithmic axis over positive values; the ticks are those values where they are few, else powers of ten.
Axis log_axis(std::vector<double> values);

struct AxisLabels {
  std::string x{}, y{};
  double bottom = 0;             ///< where the x label stands
  std::vector<double> guides{};  ///< dotted horizontal lines: what guessing gives
  bool diagonal = false;         ///< a dotted line from corner to corner
};

/// Grid lines, ticks, guides and labels as SVG.
std::string axes_svg(const Axis& x, const Axis& y, const AxisLabels& labels);

}  // namespace sslmeme::detail
