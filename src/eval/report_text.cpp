#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/report.hpp>

#include "eval/report_html.hpp"
#include "eval/report_page.hpp"

#include <fmt/format.h>
#include <utf8proc.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace sslmeme {
namespace {

using Json = nlohmann::ordered_json;

/// The columns of a terminal that `text` takes up.
std::size_t width_of(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    utf8proc_int32_t c = -1;
    const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                         static_cast<utf8proc_ssize_t>(text.size()), &c);
    width += length > 0 ? static_cast<std::size_t>(utf8proc_charwidth(c)) : 1;
    text.remove_prefix(length > 0 ? static_cast<std::size_t>(length) : 1);
  }
  return width;
}

std::string repeated(std::string_view text, std::size_t times) {
  std::string result;
  for (std::size_t i = 0; i < times; ++i) result += text;
  return result;
}

std::string rule(const std::vector<std::size_t>& widths, std::string_view left, std::string_view cross,
                 std::string_view right) {
  std::string line{left};
  for (std::size_t i = 0; i < widths.size(); ++i) {
    if (i > 0) line += cross;
    line += repeated("─", widths[i] + 2);
  }
  return line.append(right).append("\n");
}

void put(Json& object, const std::string& model, const std::string& key, double value) {
  if (!std::isfinite(value)) {
    throw InvalidArgument{
        fmt::format("{} of \"{}\" is {}; JSON has finite numbers only: leave the column out", key, model, value)};
  }
  if (object.contains(key))
    throw InvalidArgument{fmt::format("\"{}\" has the key {} twice; give each column its own", model, key)};
  object[key] = value;
}

void put(Json& object, const std::string& model, const std::string& key, const Summary& summary) {
  put(object, model, key + "_mean", summary.mean);
  put(object, model, key + "_std", summary.deviation);
}

}  // namespace

std::string terminal_table(std::span<const ReportRow> rows) {
  const auto columns = detail::extra_columns(rows);
  std::vector<std::vector<std::string>> cells{{"model", "AUROC"}};
  const bool accuracy = detail::has_accuracy(rows);
  if (accuracy) cells[0].emplace_back("accuracy");
  for (const auto& column : columns) cells[0].push_back(column.title);
  cells[0].emplace_back("seeds");
  for (const auto& row : rows) {
    std::vector<std::string> line{row.model, detail::mean_and_deviation(row.auroc)};
    if (accuracy) line.push_back(detail::mean_and_deviation(row.accuracy));
    for (const auto& column : columns) {
      const auto* value = detail::find_extra(row, column.key);
      line.push_back(detail::mean_and_deviation(value != nullptr ? *value : Summary{}));
    }
    line.push_back(std::to_string(row.auroc.n));
    cells.push_back(std::move(line));
  }
  std::vector<std::size_t> widths(cells[0].size());
  for (const auto& line : cells) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width_of(line[i]));
  }
  auto table = rule(widths, "┌", "┬", "┐");
  for (std::size_t k = 0; k < cells.size(); ++k) {
    if (k == 1) table += rule(widths, "├", "┼", "┤");
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const std::string space(widths[i] - width_of(cells[k][i]), ' ');
      table += "│ " + (i == 0 ? cells[k][i] + space : space + cells[k][i]) + " ";
    }
    table += "│\n";
  }
  return table + rule(widths, "└", "┴", "┘");
}

std::string results_json(std::span<const ReportRow> rows, double seconds) {
  Json results{{"rows", Json::array()}};
  for (const auto& row : rows) {
    Json entry{{"model", row.model}};
    put(entry, row.model, "auroc", row.auroc);
    if (row.accuracy.n > 0) put(entry, row.model, "accuracy", row.accuracy);
    entry["seeds"] = row.auroc.n;
    for (const auto& extra : row.extra) put(entry, row.model, extra.key, extra.value);
    results["rows"].push_back(std::move(entry));
  }
  put(results, "results", "seconds", seconds);
  return results.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace sslmeme
