// The report of an experiment: one self-contained HTML file, and its figures as a text table and as JSON. What can be
// shown is in report_figures.hpp.
// Every member has an initialiser, so that designated initialisers may leave out any.
#pragma once

#include <sslmeme/eval/metrics.hpp>
#include <sslmeme/eval/report_figures.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace sslmeme {

/// One more column of the table.
struct ReportColumn {
  std::string key{};    ///< in JSON, where it becomes KEY_mean and KEY_std: "auroc_unseen"
  std::string title{};  ///< for people: "AUROC, unseen"
  Summary value{};
  bool lower_is_better = false;  ///< an error, not a merit
};

/// One model, measured over several seeds.
struct ReportRow {
  std::string model{};
  Summary auroc{};                           ///< within [0, 1]
  Summary accuracy{};                        ///< within [0, 1]; n = 0 in all rows: there is no such column
  std::vector<ReportColumn> extra{};         ///< columns are matched between rows by key; a row may lack some
  std::optional<Interval> auroc_interval{};  ///< shown in place of the deviation, where one run has none
};

/// A number worth seeing first.
struct Highlight {
  std::string value{};  ///< "0.987"
  std::string label{};  ///< "AUROC"
  std::string note{};   ///< "CASS-MM, 95 % interval 0.981 – 0.992"
};

/// Sections stand in the order of the members; what is empty is left out.
struct Report {
  std::string title{};
  std::string subtitle{};
  std::vector<Highlight> highlights{};
  std::vector<std::string> notes{};  ///< paragraphs under the heading: data, caveats
  std::vector<ReportRow> rows{};
  bool comparable = true;  ///< the rows were measured on the same samples: the best of each column is marked
  PairwiseTests tests{};
  std::vector<RocSeries> rocs{};
  std::vector<PrecisionRecallSeries> precision_recalls{};
  std::vector<CalibrationSeries> calibrations{};
  std::vector<ThresholdSeries> thresholds{};
  Disagreements disagreements{};
  std::vector<Gallery> galleries{};
  std::vector<EmbeddingFigure> maps{};
  std::vector<LossChart> charts{};
  std::vector<ReportTable> tables{};
  std::string config{};  ///< JSON or any text, shown verbatim at the end; may be empty
};

/// Writes the report as one HTML file that needs no network and no other file: figures "figure-table", "figure-tests",
/// "figure-roc", "figure-precision-recall", "figure-calibration", "figure-thresholds", "figure-disagreements" and those
/// of charts, galleries, maps and tables by their ids. Nothing in it runs but the threshold explorer's script, which
/// the page's Content-Security-Policy names by its SHA-256. Every string is escaped; malformed UTF-8 becomes U+FFFD.
/// The file appears whole or not at all. Throws InvalidArgument for an unusable id and for members whose sizes or
/// ranges are not as described, DataError for a picture of an unknown format, IoError for a picture that is missing or
/// a file that cannot be written.
void write_report(const std::filesystem::path& path, const Report& report);

/// The rows as a text table in box-drawing characters, one line a model, ending with a newline.
std::string terminal_table(std::span<const ReportRow> rows);

/// {"rows":[{"model":…,"auroc_mean":…,"auroc_std":…,"accuracy_mean":…,"accuracy_std":…,"seeds":…,…}],"seconds":…},
/// where further keys are those of ReportRow::extra. seconds: how long it all took. Throws InvalidArgument for a number
/// that is not finite or a key that is used twice in a row.
std::string results_json(std::span<const ReportRow> rows, double seconds);

}  // namespace sslmeme
