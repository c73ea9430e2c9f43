// The parts of the report's page, each as HTML.
#pragma once

#include <sslmeme/eval/report.hpp>

#include <span>
#include <string>
#include <vector>

namespace sslmeme::detail {

/// A column of ReportRow::extra over all rows.
struct ExtraColumn {
  std::string key, title;
};

/// The extra columns of the rows, in the order in which their keys first occur.
std::vector<ExtraColumn> extra_columns(std::span<const ReportRow> rows);

/// The row's value for a key; null where it has none.
const Summary* find_extra(const ReportRow& row, const std::string& key);

std::string table_section(std::span<const ReportRow> rows);
std::string charts_section(std::span<const LossChart> charts);
std::string roc_section(std::span<const RocSeries> rocs);
std::string gallery_section(const Gallery& gallery);

}  // namespace sslmeme::detail
