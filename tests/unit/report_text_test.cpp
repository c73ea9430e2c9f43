#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/report.hpp>

#include "eval/report_html.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
namespace sm = sslmeme;

TEST_CASE("Numbers for people") {
  CHECK(sm::detail::short_number(0.30000000000000004) == "0.3");
  CHECK(sm::detail::short_number(-2) == "−2");
  CHECK(sm::detail::short_number(12345.6) == "12,350");
  CHECK(sm::detail::short_number(-1234567) == "−1,235,000");
  CHECK(sm::detail::short_number(1234) == "1234");
  CHECK(sm::detail::short_number(1.5e-5) == "1.5e-05");
  CHECK(sm::detail::short_number(3e8) == "3e+08");
  CHECK(sm::detail::p_value(0.0009) == "< 0.001");
  CHECK(sm::detail::p_value(0.0312) == "0.031");
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

  const std::vector<sm::ReportRow> without_accuracy{{.model = "both", .auroc = {0.9, 0, 1}}};
  CHECK_FALSE(nlohmann::json::parse(sm::results_json(without_accuracy, 1))["rows"][0].contains("accuracy_mean"));
  CHECK(sm::terminal_table(without_accuracy).find("accuracy") == std::string::npos);
}
