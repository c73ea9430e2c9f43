// The report of an experiment: one self-contained HTML file with charts, and its figures as a text table and as JSON.
// Every member has an initialiser, so that designated initialisers may leave out any.
#pragma once

#include <sslmeme/eval/metrics.hpp>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace sslmeme {

/// One more column of the table.
struct ReportColumn {
  std::string key{};    ///< in JSON, where it becomes KEY_mean and KEY_std: "auroc_unseen"
  std::string title{};  ///< for people: "AUROC, unseen"
  Summary value{};
};

/// One model, measured over several seeds.
struct ReportRow {
  std::string model{};
  Summary auroc{};                    ///< within [0, 1]
  Summary accuracy{};                 ///< within [0, 1]
  std::vector<ReportColumn> extra{};  ///< columns are matched between rows by key; a row may lack some
};

/// A line of a chart. Points that are not finite are left out and break the line.
struct LossCurve {
  std::string name{};
  std::vector<double> epoch{};  ///< x, rising
  std::vector<double> value{};  ///< y, as many
};

/// Curves that share their axes.
struct LossChart {
  std::string id{};  ///< of the <figure>; letters, digits, '-' and '_', unique in the report
  std::string title{};
  std::string caption{};  ///< what one sees, in a sentence or two
  std::string x_label = "epoch";
  std::string y_label = "loss";
  std::vector<LossCurve> curves{};
};

struct RocSeries {
  std::string name{};
  RocCurve curve{};
  double auroc = 0;
};

struct ScoredMeme {
  std::filesystem::path picture{};  ///< JPEG, PNG, WebP, GIF or BMP; embedded as it is
  std::string text{};
  std::int64_t label = 0;  ///< 1 harmful, 0 not
  double score = 0;        ///< within [0, 1]: how probably harmful the model holds it
  std::int64_t id = 0;
};

/// A page of memes, shown worst mistake first: by falling |label − score|, then by id.
struct Gallery {
  std::string id{};  ///< of the <figure>, as LossChart::id
  std::string title{};
  std::string caption{};
  double threshold = 0.5;  ///< from this score on a meme counts as held for harmful
  std::vector<ScoredMeme> memes{};
};

struct Report {
  std::string title{};
  std::string subtitle{};
  std::vector<std::string> notes{};  ///< paragraphs under the heading: data, caveats
  std::vector<ReportRow> rows{};
  std::vector<LossChart> charts{};
  std::vector<RocSeries> rocs{};
  std::vector<Gallery> galleries{};
  std::string config{};  ///< JSON or any text, shown verbatim at the end; may be empty
};

/// Writes the report as one HTML file that needs no network, no other file and no script: figures "figure-table",
/// "figure-roc" and those of charts and galleries by their ids; whatever is empty is left out. Every string is escaped;
/// malformed UTF-8 becomes U+FFFD. The file appears whole or not at all. Throws InvalidArgument for an unusable id or
/// curves of unequal length, DataError for a picture of an unknown format, IoError for a picture that is missing or a
/// file that cannot be written.
void write_report(const std::filesystem::path& path, const Report& report);

/// The rows as a text table in box-drawing characters, one line a model, ending with a newline.
std::string terminal_table(std::span<const ReportRow> rows);

/// {"rows":[{"model":…,"auroc_mean":…,"auroc_std":…,"accuracy_mean":…,"accuracy_std":…,"seeds":…,…}],"seconds":…},
/// where further keys are those of ReportRow::extra. seconds: how long it all took. Throws InvalidArgument for a number
/// that is not finite or a key that is used twice in a row.
std::string results_json(std::span<const ReportRow> rows, double seconds);

}  // namespace sslmeme
