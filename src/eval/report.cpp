#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/eval/report.hpp>
#include <sslmeme/version.hpp>

#include "core/sha256.hpp"
#include "eval/report_check.hpp"
#include "eval/report_html.hpp"
#include "eval/report_page.hpp"
#include "eval/report_style.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

namespace sslmeme {
namespace {

using detail::escape_html;

struct Section {
  std::string id;
  std::string title;
  std::string figures;
  std::string folded{};  ///< figures at the end, shown when one asks for them
};

/// Figures of equal section together, in the order in which sections first occur.
template <class Figure>
void add_by_section(std::vector<Section>& sections, const std::vector<Figure>& figures, std::string_view id) {
  const auto first = sections.size();
  for (const auto& figure : figures) {
    auto place = std::find_if(sections.begin() + static_cast<std::ptrdiff_t>(first), sections.end(),
                              [&](const Section& section) { return section.title == figure.section; });
    if (place == sections.end()) {
      const auto number = sections.size() - first + 1;
      place = sections.insert(place,
                              {number == 1 ? std::string{id} : fmt::format("{}-{}", id, number), figure.section, ""});
    }
    if constexpr (requires { figure.folded; }) {
      (figure.folded ? place->folded : place->figures) += detail::chart_figure(figure);
    } else {
      place->figures += detail::table_figure(figure);
    }
  }
}

std::string in_panels(const std::string& figures) {
  return figures.empty() ? figures : "<div class=\"panels\">\n" + figures + "</div>\n";
}

std::vector<Section> sections_of(const Report& report) {
  std::vector<Section> sections;
  const auto add = [&](std::string id, std::string title, std::string figures) {
    if (!figures.empty()) sections.push_back({std::move(id), std::move(title), std::move(figures)});
  };
  add("results", "Results",
      (report.rows.empty() ? "" : detail::table_figure(report.rows, report.comparable)) +
          (report.tests.pairs.empty() ? "" : detail::tests_figure(report.tests)));
  add("curves", "Curves",
      in_panels((report.rocs.empty() ? "" : detail::roc_figure(report.rocs)) +
                (report.precision_recalls.empty() ? "" : detail::precision_recall_figure(report.precision_recalls))));
  if (!report.calibrations.empty()) add("calibration", "Calibration", detail::calibration_figure(report.calibrations));
  if (!report.thresholds.empty()) add("thresholds", "Threshold", detail::thresholds_figure(report.thresholds));
  if (!report.disagreements.memes.empty())
    add("disagreements", "Disagreements", detail::disagreements_figure(report.disagreements));
  std::string galleries, maps;
  for (const auto& gallery : report.galleries) galleries += detail::gallery_figure(gallery);
  add("memes", "Mistakes", galleries);
  for (const auto& map : report.maps) maps += detail::map_figure(map);
  add("maps", "Maps", in_panels(maps));

  const auto charts = sections.size();
  add_by_section(sections, report.charts, "charts");
  for (auto i = charts; i < sections.size(); ++i) {
    auto& section = sections[i];
    section.figures = in_panels(section.figures);
    if (!section.folded.empty())
      section.figures += "<details><summary>More of it</summary>\n" + in_panels(section.folded) + "</details>\n";
  }
  add_by_section(sections, report.tables, "tables");
  if (!report.config.empty()) {
    add("config", "Configuration",
        "<details><summary>What this was run with</summary>\n<pre tabindex=\"0\">" + escape_html(report.config) +
            "</pre></details>\n");
  }
  return sections;
}

std::string navigation(const std::vector<Section>& sections) {
  if (sections.size() < 2) return {};
  std::string items;
  for (const auto& section : sections)
    items += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", section.id, escape_html(section.title));
  return "<nav aria-label=\"Contents\"><ul>\n" + items + "</ul></nav>\n";
}

/// Makes the browser enforce what we promise: nothing is fetched, and nothing runs but the script of that digest.
std::string policy(std::string_view script) {
  std::string policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";
  if (!script.empty()) {
    const auto digest = detail::sha256(script);
    policy +=
        "; script-src 'sha256-" + detail::base64({reinterpret_cast<const char*>(digest.data()), digest.size()}) + "'";
  }
  return policy;
}

std::string page(const Report& report) {
  const auto sections = sections_of(report);
  const auto script = report.thresholds.empty() ? std::string_view{} : detail::report_script();
  auto html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<header>\n<h1>{}</h1>\n",
      policy(script), escape_html(report.title), detail::report_style, escape_html(report.title));
  if (!report.subtitle.empty()) html += fmt::format("<p class=\"subtitle\">{}</p>\n", escape_html(report.subtitle));
  html += navigation(sections) + "</header>\n<main>\n";
  if (!report.highlights.empty()) html += detail::highlights(report.highlights);
  for (const auto& note : report.notes) html += fmt::format("<p>{}</p>\n", escape_html(note));
  for (const auto& section : sections) {
    html += fmt::format("<section aria-labelledby=\"{0}\"><h2 id=\"{0}\">{1}</h2>\n{2}</section>\n", section.id,
                        escape_html(section.title), section.figures);
  }
  html += "</main>\n<footer>Made by sslmeme " SSLMEME_VERSION ".</footer>\n";
  if (!script.empty()) html += fmt::format("<script>{}</script>\n", script);
  return html + "</body>\n</html>\n";
}

}  // namespace

void write_report(const std::filesystem::path& path, const Report& report) {
  detail::check(report);
  write_atomically(path, page(report));
}

}  // namespace sslmeme
