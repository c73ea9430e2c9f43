#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/report.hpp>

#include "eval/report_chart.hpp"
#include "eval/report_html.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "files.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
namespace sm = sslmeme;
using sm::test::bytes_of;
using sm::test::TemporaryFolder;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

/// The first fault in the nesting of tags or quoting of attributes; empty if there is none.
std::string imbalance(const std::string& html) {
  static const std::set<std::string> empty_elements{"!DOCTYPE", "meta", "img"};
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at)) {
    auto end = at + 1;
    for (bool quoted = false; end < html.size() && (quoted || html[end] != '>'); ++end) {
      if (html[end] == '"') quoted = !quoted;
      if (html[end] == '<') return "'<' within the tag " + html.substr(at, 40);
    }
    if (end >= html.size()) return "unclosed tag " + html.substr(at, 40);
    const auto tag = html.substr(at + 1, end - at - 1);
    const auto name = tag.substr(0, tag.find_first_of(" />", 1));
    if (tag.starts_with('/')) {
      if (open.empty() || "/" + open.back() != tag)
        return "<" + tag + "> closes " + (open.empty() ? "nothing" : open.back());
      open.pop_back();
    } else if (!tag.ends_with('/') && !empty_elements.contains(name)) {
      open.push_back(name);
    }
    at = end;
  }
  return open.empty() ? "" : open.back() + " is never closed";
}

const std::string png_head = "\x89PNG\r\n\x1A\n";
const std::string hostile = "</title><script src=\"http://evil/\">alert('x')</script>&amp;\x01\xff";

sm::Report sample(const TemporaryFolder& folder) {
  sm::Report report{.title = "Memes", .subtitle = "a trial", .notes = {"One note."}, .config = R"({"seed": 7})"};
  report.rows = {{"words only", {0.46, 0.02, 2}, {0.5, 0.01, 2}, {{"auroc_unseen", "AUROC, unseen", {0.51, 0.03, 2}}}},
                 {"both", {0.99, 0.004, 2}, {0.96, 0.01, 2}, {}}};
  report.charts = {{"figure-loss",
                    "Loss by edge",
                    "It falls.",
                    "epoch",
                    "loss",
                    {{"cnn–vit", {1, 2, 3}, {1, 0.5, 0.25}}, {"cnn–text", {1, 2, 3}, {4, 3, NAN}}}}};
  report.rocs = {{"both", {{0, 0, 1}, {0, 1, 1}, {INFINITY, 0.5, 0.1}}, 1.0}};
  const auto picture = folder.write("meme.png", png_head + "pixels");
  report.galleries = {{"memes",
                       "Memes and scores",
                       "All of them.",
                       0.5,
                       {{picture, "fine", 1, 0.9, 1}, {picture, "worst", 0, 0.95, 2}, {picture, "bad", 1, 0.3, 3}}}};
  return report;
}

}  // namespace

TEST_CASE("A report holds all its parts in one well-formed file") {
  const TemporaryFolder folder;
  const auto path = folder / "report.html";
  sm::write_report(path, sample(folder));
  const auto html = bytes_of(path);
  CHECK(imbalance(html).empty());
  for (const auto* id : {"figure-table", "figure-roc", "figure-loss", "memes"})
    CHECK(count(html, std::string{" id=\""} + id + "\"") == 1);
  CHECK(count(html, "<figure") == 4);
  CHECK(count(html, "<figcaption") == 4);
  CHECK(count(html, "<svg class=\"chart\"") == 2);
  CHECK(count(html, "role=\"img\" aria-label=\"") == 2);
  for (const auto* text :
       {"Memes", "a trial", "One note.", "words only", "AUROC, unseen", "0.510", "cnn–text", "{&quot;seed&quot;: 7}"}) {
    CHECK_THAT(html, ContainsSubstring(text));
  }
  CHECK(count(html, "<img ") == 3);
  CHECK(count(html, " alt=\"Picture of meme ") == 3);
  CHECK(count(html, "src=\"data:image/png;base64,iVBORw0KGgpwaXhlbHM=\"") == 3);
  SECTION("and nothing that would leave it") {
    CHECK(count(html, "src=") == 3);
    CHECK(count(html, "url(") == 0);
    CHECK(count(html, "@import") == 0);
    CHECK(count(html, "://") == 0);
    CHECK(count(html, "<script") == 0);
    CHECK(count(html, "<link") == 0);
    CHECK(count(html, "href=\"") == count(html, "href=\"#"));
  }
  SECTION("links in the contents lead somewhere") {
    for (auto at = html.find("href=\"#"); at != std::string::npos; at = html.find("href=\"#", at + 1)) {
      const auto id = html.substr(at + 7, html.find('"', at + 7) - at - 7);
      INFO(id);
      CHECK(count(html, " id=\"" + id + "\"") == 1);
    }
  }
  SECTION("the worst mistake first, each told right or wrong") {
    const auto worst = html.find(">worst<"), bad = html.find(">bad<"), fine = html.find(">fine<");
    CHECK((worst < bad && bad < fine && fine != std::string::npos));
    CHECK(count(html, "held for harmful, is harmless") == 1);
    CHECK(count(html, "held for harmless, is harmful") == 1);
    CHECK(count(html, "rightly held for harmful") == 1);
    CHECK_THAT(html, ContainsSubstring("2 of these 3 are wrong at the threshold 0.5"));
  }
}

TEST_CASE("A report leaves out what is empty") {
  const TemporaryFolder folder;
  sm::write_report(folder / "report.html", {.title = "Nothing yet"});
  const auto html = bytes_of(folder / "report.html");
  CHECK(imbalance(html).empty());
  CHECK_THAT(html, ContainsSubstring("<h1>Nothing yet</h1>"));
  CHECK(count(html, "<figure") == 0);
  CHECK(count(html, "<nav") == 0);
}

TEST_CASE("Hostile text stays text wherever it stands") {
  const TemporaryFolder folder;
  auto report = sample(folder);
  report.title = report.subtitle = report.config = report.notes[0] = report.rows[0].model =
      report.rows[0].extra[0].title = hostile;
  report.rows[0].extra[0].key = hostile;
  report.charts[0].title = report.charts[0].caption = report.charts[0].x_label = report.charts[0].y_label = hostile;
  report.charts[0].curves[0].name = report.rocs[0].name = hostile;
  report.galleries[0].title = report.galleries[0].caption = report.galleries[0].memes[0].text = hostile;
  sm::write_report(folder / "report.html", report);
  const auto html = bytes_of(folder / "report.html");
  CHECK(imbalance(html).empty());
  CHECK(count(html, "<script") == 0);
  CHECK(count(html, "src=\"http") == 0);
  CHECK(count(html, "'x'") == 0);
  CHECK(count(html,
              "&lt;/title&gt;&lt;script "
              "src=&quot;http://evil/&quot;&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;amp;\xEF\xBF\xBD\xEF\xBF\xBD") >=
        15);
  CHECK(html.find('\xff') == std::string::npos);
  CHECK(html.find('\x01') == std::string::npos);
}

TEST_CASE("A report that cannot be written is not begun") {
  const TemporaryFolder folder;
  auto report = sample(folder);
  const auto path = folder.write("report.html", "former content");
  const auto files = folder.entries();
  const auto refused = [&]<class Problem>(Problem*, const std::string& why) {
    INFO(why);
    CHECK_THROWS_MATCHES(sm::write_report(path, report), Problem, MessageMatches(ContainsSubstring(why)));
    CHECK(bytes_of(path) == "former content");
    CHECK(folder.entries() == files);
  };
  auto& meme = report.galleries[0].memes[1];
  SECTION("a missing picture") {
    meme.picture = folder / "gone.png";
    refused(static_cast<sm::IoError*>(nullptr), "gone.png");
  }
  SECTION("a picture that is none") {
    meme.picture = path;
    refused(static_cast<sm::DataError*>(nullptr), "report.html: not a picture");
  }
  SECTION("a score that is no probability") {
    meme.score = 1.5;
    refused(static_cast<sm::InvalidArgument*>(nullptr), "meme 2 has label 0 and score 1.5");
    meme.score = std::nan("");
    refused(static_cast<sm::InvalidArgument*>(nullptr), "score nan");
  }
  SECTION("a meme without a label") {
    meme.label = -1;
    refused(static_cast<sm::InvalidArgument*>(nullptr), "label -1");
  }
  SECTION("curves of unequal length") {
    report.charts[0].curves[1].epoch.pop_back();
    refused(static_cast<sm::InvalidArgument*>(nullptr), "2 values of x and 3 of y");
  }
  SECTION("ids that are unusable or taken") {
    report.galleries[0].id = "a\"b";
    refused(static_cast<sm::InvalidArgument*>(nullptr), "unusable");
    report.galleries[0].id = report.charts[0].id;
    refused(static_cast<sm::InvalidArgument*>(nullptr), "is taken");
    report.galleries[0].id = "figure-roc";
    refused(static_cast<sm::InvalidArgument*>(nullptr), "is taken");
  }
  CHECK_THROWS_AS(sm::write_report(folder / "none" / "report.html", sample(folder)), sm::IoError);
}

TEST_CASE("Ticks are round and cover the data") {
  using Numbers = std::vector<double>;
  CHECK(sm::detail::round_ticks(0, 1, 5) == Numbers{0, 0.2, 0.4, 0.6000000000000001, 0.8, 1});
  CHECK(sm::detail::round_ticks(1, 30, 6) == Numbers{0, 5, 10, 15, 20, 25, 30});
  CHECK(sm::detail::round_ticks(-0.03, 4.1, 4) == Numbers{-2, 0, 2, 4, 6});
  CHECK(sm::detail::round_ticks(5, 5, 4).size() >= 2);
  CHECK(sm::detail::round_ticks(0, 0, 4).size() >= 2);
}

TEST_CASE("A chart draws each line from its values") {
  const std::vector<sm::detail::ChartLine> lines{{"a", {0, 0.5, 1}, {0, 1, 1}, ""},
                                                 {"b", {0, 0.5, 1}, {0, NAN, 1}, ""}};
  const auto svg = sm::detail::svg_chart({"label", "x", "y", true}, lines);
  CHECK(imbalance(svg).empty());
  CHECK_THAT(svg, ContainsSubstring("<g class=\"s0\"><path class=\"line\" d=\"M46.0 364.0L216.0 24.0L386.0 24.0\"/>"));
  CHECK_THAT(svg, ContainsSubstring("d=\"M46.0 364.0M386.0 24.0\""));
  CHECK_THAT(svg, ContainsSubstring("<title>a: x 0.5, y 1</title>"));
  SECTION("nothing to draw is no reason to fail") {
    CHECK(imbalance(sm::detail::svg_chart({"label", "x", "y"}, {})).empty());
    const std::vector<sm::detail::ChartLine> point{{"a", {3}, {2}, ""}};
    CHECK(count(sm::detail::svg_chart({"label", "x", "y"}, point), "nan") == 0);
  }
}

TEST_CASE("Numbers for people") {
  CHECK(sm::detail::short_number(0.30000000000000004) == "0.3");
  CHECK(sm::detail::short_number(-2) == "−2");
  CHECK(sm::detail::short_number(12345.6) == "1.235e+04");
  CHECK(sm::detail::mean_and_deviation({0.9984, 0.0011, 2}) == "0.998 ± 0.001");
  CHECK(sm::detail::mean_and_deviation({0.5, 0, 1}) == "0.500");
  CHECK(sm::detail::mean_and_deviation({}) == "–");
}

TEST_CASE("The terminal table is aligned") {
  const std::vector<sm::ReportRow> rows{
      {"picture only", {0.5012, 0.01, 2}, {0.5, 0.02, 2}, {}},
      {"CASS–MM 中", {0.99, 0, 1}, {0.96, 0, 1}, {{"u", "AUROC, unseen", {0.7, 0.1, 3}}}}};
  CHECK(sm::terminal_table(rows) ==
        "┌──────────────┬───────────────┬───────────────┬───────────────┬───────┐\n"
        "│ model        │         AUROC │      accuracy │ AUROC, unseen │ seeds │\n"
        "├──────────────┼───────────────┼───────────────┼───────────────┼───────┤\n"
        "│ picture only │ 0.501 ± 0.010 │ 0.500 ± 0.020 │             – │     2 │\n"
        "│ CASS–MM 中   │         0.990 │         0.960 │ 0.700 ± 0.100 │     1 │\n"
        "└──────────────┴───────────────┴───────────────┴───────────────┴───────┘\n");
}

TEST_CASE("Results as JSON") {
  const std::vector<sm::ReportRow> rows{
      {"both \"x\"", {0.99, 0.01, 2}, {0.96, 0.02, 2}, {{"auroc_unseen", "AUROC, unseen", {0.7, 0.1, 2}}}}};
  const auto expected =
      nlohmann::json::parse(R"({"rows": [{"model": "both \"x\"", "auroc_mean": 0.99, "auroc_std": 0.01,
      "accuracy_mean": 0.96, "accuracy_std": 0.02, "seeds": 2, "auroc_unseen_mean": 0.7, "auroc_unseen_std": 0.1}], "seconds": 12.5})");
  CHECK(nlohmann::json::parse(sm::results_json(rows, 12.5)) == expected);
  CHECK(nlohmann::json::parse(sm::results_json({}, 0)) == nlohmann::json::parse(R"({"rows": [], "seconds": 0.0})"));

  auto bad = rows;
  bad[0].auroc.mean = std::nan("");
  CHECK_THROWS_MATCHES(sm::results_json(bad, 1), sm::InvalidArgument, MessageMatches(ContainsSubstring("auroc_mean")));
  bad = rows;
  bad[0].extra[0].key = "auroc";
  CHECK_THROWS_MATCHES(sm::results_json(bad, 1), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("auroc_mean twice")));
  CHECK_THROWS_AS(sm::results_json(rows, std::numeric_limits<double>::infinity()), sm::InvalidArgument);
}
