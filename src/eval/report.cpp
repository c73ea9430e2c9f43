#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/eval/report.hpp>
#include <sslmeme/version.hpp>

#include "eval/report_html.hpp"
#include "eval/report_page.hpp"
#include "eval/report_style.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

namespace sslmeme {
namespace {

using detail::escape_html;

class Ids {
 public:
  /// Throws InvalidArgument for an id that is unusable or taken.
  void take(const std::string& id) {
    const auto is_fine = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    };
    if (id.empty() || !std::ranges::all_of(id, is_fine)) {
      throw InvalidArgument{fmt::format("the figure id \"{}\" is unusable; give letters, digits, '-' and '_'", id)};
    }
    if (!taken_.insert(id).second)
      throw InvalidArgument{fmt::format("the figure id \"{}\" is taken; give each figure its own", id)};
  }

 private:
  std::set<std::string> taken_{"figure-table", "figure-roc", "results", "losses", "roc", "config"};
};

void check_lengths(const std::string& name, std::size_t x, std::size_t y) {
  if (x != y)
    throw InvalidArgument{fmt::format("curve \"{}\" has {} values of x and {} of y; give as many of each", name, x, y)};
}

void check(const Report& report) {
  Ids ids;
  for (const auto& chart : report.charts) {
    ids.take(chart.id);
    for (const auto& curve : chart.curves) check_lengths(curve.name, curve.epoch.size(), curve.value.size());
  }
  for (const auto& roc : report.rocs) check_lengths(roc.name, roc.curve.fpr.size(), roc.curve.tpr.size());
  for (const auto& gallery : report.galleries) {
    ids.take(gallery.id);
    ids.take(gallery.id + "-title");
    for (const auto& meme : gallery.memes) {
      if ((meme.label != 0 && meme.label != 1) || !(meme.score >= 0 && meme.score <= 1)) {
        throw InvalidArgument{
            fmt::format("meme {} has label {} and score {}; a label is 0 or 1 and a score within [0, 1]", meme.id,
                        meme.label, meme.score)};
      }
    }
  }
}

std::string navigation(const Report& report) {
  std::string items;
  const auto add = [&](std::string_view id, std::string_view title) {
    items += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", id, escape_html(title));
  };
  if (!report.rows.empty()) add("results", "Results");
  if (!report.rocs.empty()) add("roc", "ROC curves");
  if (!report.charts.empty()) add("losses", "Training");
  for (const auto& gallery : report.galleries) add(gallery.id + "-title", gallery.title);
  if (!report.config.empty()) add("config", "Configuration");
  return items.empty() ? items : "<nav aria-label=\"Contents\"><ul>\n" + items + "</ul></nav>\n";
}

std::string page(const Report& report) {
  // The policy makes the browser enforce what we promise: nothing is fetched and nothing runs.
  auto html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
      "'unsafe-inline'\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<header>\n<h1>{}</h1>\n",
      escape_html(report.title), detail::report_style, escape_html(report.title));
  if (!report.subtitle.empty()) html += fmt::format("<p class=\"subtitle\">{}</p>\n", escape_html(report.subtitle));
  html += navigation(report) + "</header>\n<main>\n";
  for (const auto& note : report.notes) html += fmt::format("<p>{}</p>\n", escape_html(note));
  if (!report.rows.empty()) html += detail::table_section(report.rows);
  if (!report.rocs.empty()) html += detail::roc_section(report.rocs);
  if (!report.charts.empty()) html += detail::charts_section(report.charts);
  for (const auto& gallery : report.galleries) html += detail::gallery_section(gallery);
  if (!report.config.empty()) {
    html += fmt::format(
        "<section aria-labelledby=\"config\"><h2 id=\"config\">Configuration</h2>\n<details><summary>What this was run "
        "with</summary>\n<pre>{}</pre>"
        "</details></section>\n",
        escape_html(report.config));
  }
  return html + "</main>\n<footer>Made by sslmeme " SSLMEME_VERSION ".</footer>\n</body>\n</html>\n";
}

}  // namespace

void write_report(const std::filesystem::path& path, const Report& report) {
  check(report);
  write_atomically(path, page(report));
}

}  // namespace sslmeme
