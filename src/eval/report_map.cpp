// The embedding map: colour and shape tell the label, hollow marks the mistakes.
#include "eval/report_axes.hpp"
#include "eval/report_html.hpp"
#include "eval/report_page.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sslmeme::detail {
namespace {

constexpr double side = 640, margin = 14;

/// A disc for harmless, a diamond for harmful; a mistaken one is hollow, and larger.
std::string attributes(const MapPoint& point, double x, double y) {
  const double r = (point.label == 1 ? 5 : 4) + (point.wrong ? 1 : 0);
  const auto shape = point.label == 1
                         ? fmt::format("M{0:.1f} {1:.1f}l{2} {2}l-{2} {2}l-{2}-{2}z", x, y - r, r)
                         : fmt::format("M{0:.1f} {1:.1f}a{2} {2} 0 1 0 {3} 0a{2} {2} 0 1 0-{3} 0z", x - r, y, r, 2 * r);
  return fmt::format(R"(class="class-{}{}" d="{}")", point.label == 1 ? "harmful" : "harmless",
                     point.wrong ? " mistaken" : "", shape);
}

std::string mark(const MapPoint& point, double x, double y) {
  return fmt::format("<path {}><title>{}{}: {}</title></path>", attributes(point, x, y),
                     point.label == 1 ? "harmful" : "harmless", point.wrong ? ", mistaken" : "",
                     point.text.empty() ? "(no words)" : escape_html(point.text));
}

std::string key(std::int64_t label, bool wrong, std::string_view text) {
  return fmt::format(R"(<li><svg class="key map" viewBox="0 0 16 14" aria-hidden="true"><path {}/></svg>{}</li>)",
                     attributes({.label = label, .wrong = wrong}, 8, 7), text);
}

}  // namespace

std::string map_figure(const EmbeddingFigure& map) {
  Extent xs, ys;
  for (const auto& point : map.points) {
    xs.add(point.x);
    ys.add(point.y);
  }
  auto x = tight_axis(xs, 2), y = tight_axis(ys, 2);
  const double width = x.high - x.low, height = y.high - y.low, widest = std::max(width, height);
  const double scale = (side - 2 * margin) / widest;  // the same along both axes: distances are what one looks at
  x.place(margin, margin + scale * width);
  y.place(margin + scale * height, margin);
  auto svg =
      fmt::format(R"(<svg class="map" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">)",
                  scale * width + 2 * margin, scale * height + 2 * margin, escape_html(map.title + ". " + map.caption));
  for (const bool wrong : {false, true}) {  // mistakes on top
    for (const auto& point : map.points) {
      if (point.wrong == wrong) svg += mark(point, x(point.x), y(point.y));
    }
  }
  return fmt::format(
      "<figure class=\"panel map\" id=\"{}\">\n{}<ul class=\"legend\">{}{}{}{}</ul>\n{}</svg>\n</figure>\n", map.id,
      figure_caption(map.title, map.caption), key(0, false, "harmless"), key(1, false, "harmful"),
      key(0, true, "harmless, mistaken"), key(1, true, "harmful, mistaken"), svg);
}

}  // namespace sslmeme::detail
