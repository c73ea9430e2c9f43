// The figures of a report as values: what they show, not how it is drawn. A report has those that it is given.
// Every member has an initialiser, so that designated initialisers may leave out any.
#pragma once

#include <sslmeme/eval/calibration.hpp>
#include <sslmeme/eval/compare.hpp>
#include <sslmeme/eval/curve_bands.hpp>
#include <sslmeme/eval/metrics.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sslmeme {

/// A line of a chart. Points that are not finite are left out and break the line.
struct LossCurve {
  std::string name{};
  std::vector<double> epoch{};      ///< x, rising
  std::vector<double> value{};      ///< y, as many
  std::vector<double> deviation{};  ///< as many or none: a bar from value − deviation to value + deviation
};

/// Curves that share their axes: losses, monitors, label efficiency.
struct LossChart {
  std::string id{};  ///< of the <figure>; letters, digits, '-' and '_', unique in the report
  std::string title{};
  std::string caption{};  ///< what one sees, in a sentence or two
  std::string x_label = "epoch";
  std::string y_label = "loss";
  std::vector<LossCurve> curves{};
  std::string section = "Training";  ///< charts of the same section stand together under this heading
  bool folded = false;               ///< shown when one asks for more, at the end of its section
  bool log_x = false;                ///< x on a logarithmic axis; all x are then positive
};

struct RocSeries {
  std::string name{};
  RocCurve curve{};
  double auroc = 0;
  CurveBand band{};  ///< of roc_band(), or empty
};

struct PrecisionRecallSeries {
  std::string name{};
  PrecisionRecallCurve curve{};
  double average_precision = 0;
  double harmful = 0;  ///< the part of the samples that is harmful: the precision of guessing
  CurveBand band{};    ///< of precision_recall_band(), or empty
};

/// A reliability diagram, before and after temperature scaling, and the scores of each class.
struct CalibrationSeries {
  std::string name{};
  double temperature = 1;
  double threshold = 0.5;                ///< on the calibrated probability
  std::vector<ReliabilityBin> before{};  ///< of σ(logit)
  std::vector<ReliabilityBin> after{};   ///< of σ(logit / temperature)
  double error_before = 0;               ///< expected calibration error of `before`
  double error_after = 0;                ///< of `after`
  std::vector<std::int64_t> harmful{};   ///< samples by calibrated probability, in bins of equal width over [0, 1]
  std::vector<std::int64_t> harmless{};  ///< as many bins
};

/// Calibration of logits in `bins` bins, scores in 2 · bins. Throws as reliability_bins() does, and InvalidArgument for
/// a temperature that is not positive.
CalibrationSeries calibration_series(std::string name, Scores logits, Labels labels, double temperature,
                                     double threshold = 0.5, std::int64_t bins = 10);

/// What a model does at each threshold: for the explorer, which lets people choose one.
struct ThresholdSeries {
  std::string name{};
  std::vector<double> thresholds{};  ///< rising, within [0, 1]
  std::vector<Confusion> counts{};   ///< as many; harmful where score ≥ threshold
  std::size_t tuned = 0;             ///< the position in `thresholds` of the one tuned on a dev split
};

/// Counts at 0, 0.01, …, 1 and at `tuned`. scores within [0, 1]. Throws InvalidArgument as metrics.hpp does, and for
/// `tuned` or a score outside [0, 1].
ThresholdSeries threshold_series(std::string name, Scores scores, Labels labels, double tuned);

/// DeLong's test of two models on the same memes.
struct PairTest {
  std::size_t a = 0;  ///< position in PairwiseTests::models
  std::size_t b = 0;
  AurocTest test{};
};

/// Which model is better than which, beyond chance?
struct PairwiseTests {
  std::vector<std::string> models{};
  std::vector<PairTest> pairs{};  ///< each pair once, either way round
};

/// delong_test() of each pair. scores: those of each model, of the same samples in the same order. Throws as
/// delong_test() does, and InvalidArgument unless there are as many models as scores.
PairwiseTests pairwise_tests(std::vector<std::string> models, const std::vector<std::vector<double>>& scores,
                             Labels labels);

/// A picture to show: a JPEG, PNG, WebP, GIF or BMP file, or the content of one. It is embedded as it is.
class ReportPicture {
 public:
  ReportPicture() = default;
  ReportPicture(std::filesystem::path file) : file_{std::move(file)} {}
  ReportPicture(std::vector<std::byte> content) : content_{std::move(content)} {}

  const std::filesystem::path& file() const { return file_; }         ///< empty where the content was given
  const std::vector<std::byte>& content() const { return content_; }  ///< empty where the file was given

 private:
  std::filesystem::path file_;
  std::vector<std::byte> content_;
};

/// Where in the picture the reasons lie: a grid over the whole picture.
struct HeatMap {
  int height = 0;
  int width = 0;
  std::vector<double> values{};  ///< height × width, row by row, within [0, 1]; none: there is no map
};

/// A word and how much it counts.
struct ShadedWord {
  std::string text{};
  double weight = 0;                  ///< within [−1, 1]: towards harmful above 0, towards harmless below
  std::optional<double> attention{};  ///< within [0, 1]: how much the encoder looks at it
};

struct ScoredMeme {
  ReportPicture picture{};
  std::string text{};
  std::int64_t label = 0;  ///< 1 harmful, 0 not
  double score = 0;        ///< within [0, 1]: how probably harmful the model holds it
  std::int64_t id = 0;
  HeatMap heat{};                           ///< laid over the picture: where the encoder looks, say
  HeatMap outline{};                        ///< a second map: its cells from a half on are outlined
  std::vector<ShadedWord> words{};          ///< shown, shaded, instead of `text` where there are any
  std::optional<double> without_words{};    ///< the score that the picture alone gets
  std::optional<double> without_picture{};  ///< the score that the words alone get
};

/// A page of memes, shown worst mistake first: by falling |label − score|, then by id.
struct Gallery {
  std::string id{};  ///< of the <figure>, as LossChart::id
  std::string title{};
  std::string caption{};
  double threshold = 0.5;  ///< from this score on a meme counts as held for harmful
  std::vector<ScoredMeme> memes{};
};

/// A meme as several models see it.
struct ContestedMeme {
  ReportPicture picture{};
  std::string text{};
  std::int64_t label = 0;        ///< 1 harmful, 0 not
  std::vector<double> scores{};  ///< one for each model, within [0, 1]
  std::int64_t id = 0;
};

/// Memes on which models disagree, in the order given.
struct Disagreements {
  std::vector<std::string> models{};
  std::vector<double> thresholds{};  ///< one for each model
  std::string caption{};
  std::vector<ContestedMeme> memes{};
};

/// A meme on an embedding map.
struct MapPoint {
  double x = 0;
  double y = 0;
  std::int64_t label = 0;  ///< 1 harmful, 0 not
  bool wrong = false;      ///< the model is mistaken about it
  std::string text{};      ///< shown when pointed at
};

/// Memes in the plane: points of tsne_map() or pca_map(). Axes have no unit.
struct EmbeddingFigure {
  std::string id{};  ///< as LossChart::id
  std::string title{};
  std::string caption{};
  std::vector<MapPoint> points{};
};

/// Any table: its first column names the rows.
struct ReportTable {
  std::string id{};  ///< of the <figure>, as LossChart::id
  std::string title{};
  std::string caption{};
  std::vector<std::string> columns{};
  std::vector<std::vector<std::string>> rows{};  ///< each as long as `columns`
  std::string section = "Tables";                ///< tables of the same section stand together under this heading
};

}  // namespace sslmeme
