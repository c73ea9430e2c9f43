#include <sslmeme/core/error.hpp>
#include <sslmeme/core/image.hpp>
#include <sslmeme/data/image_io.hpp>
#include <sslmeme/eval/report.hpp>

#include "core/sha256.hpp"
#include "eval/report_html.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <filesystem>
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
  static const std::set<std::string> empty_elements{"!DOCTYPE", "meta", "img", "input"};
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at)) {
    auto end = at + 1;
    for (bool quoted = false; end < html.size() && (quoted || html[end] != '>'); ++end) {
      if (html[end] == '"') quoted = !quoted;
      if (html[end] == '<') return "'<' within the tag " + html.substr(at, 40);
    }
    if (end >= html.size()) return "unclosed tag " + html.substr(at, 40);
    const auto tag = html.substr(at + 1, end - at - 1);
    if (tag == "script") {  // its text is no HTML
      at = html.find("</script>", end) + 9;
      continue;
    }
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

const std::vector<double> scores{0.9, 0.8, 0.35, 0.4, 0.1, 0.3};
const std::vector<std::int64_t> labels{1, 1, 1, 0, 0, 0};

sm::Report sample(const TemporaryFolder& folder) {
  sm::Report report{.title = "Memes", .subtitle = "a trial", .notes = {"One note."}, .config = R"({"seed": 7})"};
  report.highlights = {{"0.987", "AUROC", "of both"}};
  report.rows = {{"words only", {0.46, 0.02, 2}, {0.5, 0.01, 2}, {{"auroc_unseen", "AUROC, unseen", {0.51, 0.03, 2}}}},
                 {"both", {0.99, 0.004, 2}, {0.96, 0.01, 2}, {}}};
  report.tests = sm::pairwise_tests({"words only", "both"}, {{0.4, 0.2, 0.9, 0.3, 0.5, 0.6}, scores}, labels);
  report.charts = {{"figure-loss",
                    "Loss by edge",
                    "It falls.",
                    "epoch",
                    "loss",
                    {{"cnn–vit", {1, 2, 3}, {1, 0.5, 0.25}}, {"cnn–text", {1, 2, 3}, {4, 3, NAN}}}},
                   {.id = "figure-speed", .title = "Speed", .curves = {{"a", {1}, {2}}}, .folded = true},
                   {.id = "figure-labels",
                    .title = "Labels",
                    .curves = {{"CLIP", {50, 200, 1000}, {0.6, 0.7, 0.9}, {0.02, 0.01, 0}}},
                    .section = "Label efficiency",
                    .log_x = true}};
  report.rocs = {{"both", {{0, 0, 1}, {0, 1, 1}, {INFINITY, 0.5, 0.1}}, 1.0, sm::roc_band(scores, labels)}};
  report.precision_recalls = {
      {"both", sm::precision_recall_curve(scores, labels), 0.9, 0.5, sm::precision_recall_band(scores, labels)}};
  report.calibrations = {
      sm::calibration_series("both", std::vector<double>{2, 1, -0.4, -0.5, -3, -1}, labels, 1.5, 0.4)};
  report.thresholds = {sm::threshold_series("both", scores, labels, 0.375)};
  const auto picture = folder.write("meme.png", png_head + "pixels");
  report.disagreements = {{"words only", "both"}, {0.5, 0.375}, "Twelve.", {{picture, "contested", 1, {0.2, 0.9}, 8}}};
  report.galleries = {{"memes-of-both",
                       "Memes and scores",
                       "All of them.",
                       0.5,
                       {{picture, "fine", 1, 0.9, 1}, {picture, "worst", 0, 0.95, 2}, {picture, "bad", 1, 0.3, 3}}}};
  auto& explained = report.galleries[0].memes[2];
  explained.picture = sm::encode_png(sm::Image{4, 2});
  explained.heat = {1, 2, {0, 1}};
  explained.outline = {2, 2, {0, 0.5, 0.4, 1}};
  explained.words = {{"bad", 1, 0.5}, {"day", -0.5}};
  explained.without_words = 0.25;
  explained.without_picture = 0.625;
  report.maps = {{"figure-map", "Map", "Near is alike.", {{0, 0, 0, false, "here"}, {1, 2, 1, true, "there"}}}};
  report.tables = {{"figure-published", "Table 3", "Beside ours.", {"Row", "AUROC"}, {{"CLIP", "0.712"}}}};
  return report;
}

const std::vector<const char*> figures{
    "figure-table",       "figure-tests",      "figure-roc",           "figure-precision-recall",
    "figure-calibration", "figure-thresholds", "figure-disagreements", "memes-of-both",
    "figure-map",         "figure-loss",       "figure-speed",         "figure-labels",
    "figure-published"};

/// What stands between two marks, the first time that they occur.
std::string between(const std::string& text, const std::string& before, const std::string& after) {
  const auto begin = text.find(before) + before.size();
  return text.substr(begin, text.find(after, begin) - begin);
}

}  // namespace

TEST_CASE("A report holds all its parts in one well-formed file") {
  const TemporaryFolder folder;
  const auto path = folder / "report.html";
  sm::write_report(path, sample(folder));
  const auto html = bytes_of(path);
  CHECK(imbalance(html).empty());
  for (const auto* id : figures) {
    INFO(id);
    CHECK(count(html, std::string{" id=\""} + id + "\"") == 1);
  }
  CHECK(count(html, "<figure") == figures.size());
  CHECK(count(html, "<figcaption") == figures.size());
  CHECK(count(html, "<svg class=\"chart\"") == 7);
  CHECK(count(html, "role=\"img\" aria-label=\"") == 8);
  for (const auto* text : {"Memes", "a trial", "One note.", "words only", "AUROC, unseen", "0.510", "cnn–text",
                           "{&quot;seed&quot;: 7}", "<b>0.987</b>", "0.712"}) {
    CHECK_THAT(html, ContainsSubstring(text));
  }
  CHECK(count(html, "<img ") == 4);
  CHECK(count(html, " alt=\"Picture of meme ") == 4);
  CHECK(count(html, "src=\"data:image/png;base64,iVBORw0KGgpwaXhlbHM=\"") == 3);
  SECTION("and nothing that would leave it") {
    CHECK(count(html, "src=") == 4);
    CHECK(count(html, "url(") == 0);
    CHECK(count(html, "@import") == 0);
    CHECK(count(html, "://") == 0);
    CHECK(count(html, "<script") == 1);
    CHECK(count(html, "<link") == 0);
    CHECK(count(html, "href=\"") == count(html, "href=\"#"));
  }
  SECTION("only the script that the policy names may run") {
    const auto script = between(html, "<script>", "</script>");
    const auto digest = sm::detail::sha256(script);
    const auto named = sm::detail::base64({reinterpret_cast<const char*>(digest.data()), digest.size()});
    CHECK(between(html, "Content-Security-Policy\" content=\"", "\"") ==
          "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-" + named + "'");
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
  SECTION("reasons lie over the picture and behind the words") {
    CHECK_THAT(html, ContainsSubstring("class=\"frame wide\" style=\"aspect-ratio:4/2\""));
    CHECK_THAT(html, ContainsSubstring("viewBox=\"0 0 2 1\""));
    CHECK_THAT(html, ContainsSubstring("<g class=\"dark\"><path fill-opacity=\"0.40\" d=\"M0 0h1v1h-1z\"/></g>"));
    CHECK_THAT(html, ContainsSubstring("<g class=\"hot\"><path fill-opacity=\"0.55\" d=\"M1 0h1v1h-1z\"/></g>"));
    CHECK_THAT(html,
               ContainsSubstring(
                   "<span class=\"for\" style=\"--w:45%;--a:50%\" title=\"weight +1.00, attention 0.50\">bad</span>"));
    CHECK_THAT(html, ContainsSubstring("viewBox=\"0 0 2 2\""));
    CHECK_THAT(html, ContainsSubstring("non-scaling-stroke\" d=\"M1 0h1v1h-1zM1 1h1v1h-1z\"/>"));
    CHECK_THAT(html, ContainsSubstring("<span class=\"against\" style=\"--w:22%\" title=\"weight -0.50\">day</span>"));
    CHECK_THAT(html, ContainsSubstring("<dt>picture alone</dt><dd>0.250</dd>"));
    CHECK_THAT(html, ContainsSubstring("<dt>words alone</dt><dd>0.625</dd>"));
  }
  SECTION("folded charts and sections of their own") {
    CHECK(html.find("figure-speed\"") > html.find("<details><summary>More of it</summary>"));
    CHECK_THAT(html, ContainsSubstring("<h2 id=\"charts\">Training</h2>"));
    CHECK_THAT(html, ContainsSubstring("<h2 id=\"charts-2\">Label efficiency</h2>"));
  }
}

TEST_CASE("The best of each column is bold, of errors the lowest, to the digits shown") {
  const TemporaryFolder folder;
  sm::Report report{.title = "Memes"};
  report.rows = {{.model = "a", .auroc = {0.9004, 0, 1}, .extra = {{"ece", "ECE", {0.02, 0, 1}, true}}},
                 {.model = "b", .auroc = {0.8996, 0.01, 2}, .extra = {{"ece", "ECE", {0.05, 0, 2}, true}}},
                 {.model = "c", .auroc = {0.7, 0, 1}, .auroc_interval = sm::Interval{0.61, 0.79}}};
  sm::write_report(folder / "report.html", report);
  const auto html = bytes_of(folder / "report.html");
  CHECK(imbalance(html).empty());
  CHECK_THAT(html, ContainsSubstring("<td class=\"best\">0.900</td>"));
  CHECK_THAT(html, ContainsSubstring("<td class=\"best\">0.900 <span class=\"plain\">± 0.010</span></td>"));
  CHECK_THAT(html, ContainsSubstring("<td>0.700 <span class=\"plain\">0.610 – 0.790</span></td>"));
  CHECK_THAT(html, ContainsSubstring("<td class=\"best\">0.020</td>"));
  CHECK(count(html, "class=\"best\"") == 3);
  CHECK(count(html, ">Accuracy<") == 0);
}

TEST_CASE("Paired tests are shown both ways round") {
  const TemporaryFolder folder;
  sm::Report report{.title = "Memes"};
  report.tests = {{"a", "b", "c"},
                  {{0, 1, {0.9, 0.8, 0, 3, 0.0004}}, {0, 2, {0.9, 0.7, 0, 2, 0.02}}, {2, 1, {0.7, 0.8, 0, -1, 0.31}}}};
  sm::write_report(folder / "report.html", report);
  const auto html = bytes_of(folder / "report.html");
  CHECK_THAT(html, ContainsSubstring("<td class=\"best\">+0.100 <span class=\"plain\">p &lt; 0.001</span></td>"));
  CHECK_THAT(html, ContainsSubstring("<td class=\"best\">−0.100 <span class=\"plain\">p &lt; 0.001</span></td>"));
  CHECK_THAT(html, ContainsSubstring("<td>+0.200 <span class=\"plain\">p = 0.020</span></td>"));  // 0.05 / 3 pairs
  CHECK_THAT(html, ContainsSubstring("<td>−0.100 <span class=\"plain\">p = 0.310</span></td>"));
  CHECK(count(html, "<td class=\"same\">") == 3);
}

TEST_CASE("A report is made from scores and labels") {
  const TemporaryFolder folder;
  const std::vector<double> logits{2, 1, -0.4, -0.5, -3, -1};
  const double temperature = 1.5, threshold = 0.4;
  // [report]
  sm::Report report{.title = "Which is better?"};
  report.rows = {{.model = "both", .auroc = {sm::auroc(scores, labels), 0, 1}}};
  report.rocs = {{"both", sm::roc_curve(scores, labels), sm::auroc(scores, labels), sm::roc_band(scores, labels)}};
  report.calibrations = {sm::calibration_series("both", logits, labels, temperature)};
  report.thresholds = {sm::threshold_series("both", scores, labels, threshold)};
  sm::write_report(folder / "report.html", report);
  // [/report]
  const auto html = bytes_of(folder / "report.html");
  CHECK(imbalance(html).empty());
  CHECK(count(html, "<figure") == 4);
  CHECK(count(html, "<td>0.889</td>") == 1);  // 8 of 9 pairs in order
}

TEST_CASE("A report leaves out what is empty") {
  const TemporaryFolder folder;
  sm::write_report(folder / "report.html", {.title = "Nothing yet"});
  const auto html = bytes_of(folder / "report.html");
  CHECK(imbalance(html).empty());
  CHECK_THAT(html, ContainsSubstring("<h1>Nothing yet</h1>"));
  CHECK(count(html, "<figure") == 0);
  CHECK(count(html, "<nav") == 0);
  CHECK(count(html, "<script") == 0);
  CHECK(count(html, "script-src") == 0);
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
  report.galleries[0].memes[2].words[0].text = hostile;
  report.highlights[0] = {hostile, hostile, hostile};
  report.tests.models[0] = report.precision_recalls[0].name = report.calibrations[0].name = hostile;
  report.thresholds.push_back(report.thresholds[0]);
  report.thresholds[0].name = report.disagreements.models[0] = report.disagreements.caption = hostile;
  report.disagreements.memes[0].text = hostile;
  report.maps[0].title = report.maps[0].caption = report.maps[0].points[0].text = hostile;
  report.tables[0] = {"figure-published", hostile, hostile, {hostile}, {{hostile}}, hostile};
  report.charts[2].section = hostile;
  sm::write_report(folder / "report.html", report);
  const auto html = bytes_of(folder / "report.html");
  CHECK(imbalance(html).empty());
  CHECK(count(html, "<script") == 1);
  CHECK(count(html, "src=\"http") == 0);
  CHECK(count(html, "'x'") == 0);
  CHECK(count(html,
              "&lt;/title&gt;&lt;script "
              "src=&quot;http://evil/&quot;&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;amp;\xEF\xBF\xBD\xEF\xBF\xBD") >=
        40);
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
  SECTION("a band, a deviation, a heat map, scores and cells of another size") {
    auto fresh = report;
    report.rocs[0].band.low.pop_back();
    refused(static_cast<sm::InvalidArgument*>(nullptr), "both, its band");
    report = fresh;
    report.charts[2].curves[0].deviation.pop_back();
    refused(static_cast<sm::InvalidArgument*>(nullptr), "CLIP");
    report = fresh;
    report.charts[2].curves[0].epoch[0] = 0;
    refused(static_cast<sm::InvalidArgument*>(nullptr), "x that is not positive");
    report = fresh;
    report.galleries[0].memes[2].heat.values.push_back(0.5);
    refused(static_cast<sm::InvalidArgument*>(nullptr), "the heat map of meme 3 has 3 values for 1 × 2 cells");
    report = fresh;
    report.galleries[0].memes[2].heat.values[0] = 1.5;
    refused(static_cast<sm::InvalidArgument*>(nullptr), "the heat map of meme 3");
    report = fresh;
    report.galleries[0].memes[2].words[0].weight = NAN;
    refused(static_cast<sm::InvalidArgument*>(nullptr), "a word of meme 3");
    report = fresh;
    report.galleries[0].memes[2].words[0].attention = -0.1;
    refused(static_cast<sm::InvalidArgument*>(nullptr), "a word of meme 3 has an attention");
    report = fresh;
    report.galleries[0].memes[2].outline.values.pop_back();
    refused(static_cast<sm::InvalidArgument*>(nullptr), "the heat map of meme 3 has 3 values for 2 × 2 cells");
    report = fresh;
    report.galleries[0].memes[2].without_words = -0.1;
    refused(static_cast<sm::InvalidArgument*>(nullptr), "meme 3 has label 1 and score -0.1");
    report = fresh;
    report.disagreements.memes[0].scores.pop_back();
    refused(static_cast<sm::InvalidArgument*>(nullptr), "meme 8 has 1 scores of 2 models");
    report = fresh;
    report.thresholds[0].tuned = 500;
    refused(static_cast<sm::InvalidArgument*>(nullptr), "number 500 of");
    report = fresh;
    report.tests.pairs[0].b = 2;
    refused(static_cast<sm::InvalidArgument*>(nullptr), "of models 0 and 2, but there are 2");
    report = fresh;
    report.tables[0].rows[0].pop_back();
    refused(static_cast<sm::InvalidArgument*>(nullptr), "has 1 cells; it has 2 columns");
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
