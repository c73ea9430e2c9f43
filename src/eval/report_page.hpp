// The parts of the report's page, each as HTML.
#pragma once

#include <sslmeme/eval/report.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sslmeme::detail {

/// A column of ReportRow::extra over all rows.
struct ExtraColumn {
  std::string key, title;
  bool lower_is_better = false;
};

/// The extra columns of the rows, in the order in which their keys first occur.
std::vector<ExtraColumn> extra_columns(std::span<const ReportRow> rows);

/// The row's value for a key; null where it has none.
const Summary* find_extra(const ReportRow& row, const std::string& key);

/// Whether any row has an accuracy of its own.
bool has_accuracy(std::span<const ReportRow> rows);

std::string highlights(std::span<const Highlight> highlights);
std::string table_figure(std::span<const ReportRow> rows, bool comparable);
std::string tests_figure(const PairwiseTests& tests);
std::string roc_figure(std::span<const RocSeries> rocs);
std::string precision_recall_figure(std::span<const PrecisionRecallSeries> series);
std::string calibration_figure(std::span<const CalibrationSeries> series);
std::string thresholds_figure(std::span<const ThresholdSeries> series);
std::string disagreements_figure(const Disagreements& disagreements);
std::string gallery_figure(const Gallery& gallery);
std::string map_figure(const EmbeddingFigure& map);
std::string chart_figure(const LossChart& chart);
std::string table_figure(const ReportTable& table);

/// The script that the page needs: the threshold explorer's.
std::string_view report_script();

}  // namespace sslmeme::detail
