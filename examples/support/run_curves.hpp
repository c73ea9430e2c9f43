// What log.jsonl of a run directory tells, as curves and charts: of any run, finished or not.
#pragma once

#include <sslmeme/eval/report_figures.hpp>

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace examples {

namespace sm = sslmeme;

/// Curves by name, in the order in which names turn up.
class Curves {
 public:
  /// Adds a point; what is no number is left out.
  void add(const std::string& name, double x, const nlohmann::json& value);
  /// Neighbours are averaged until no curve has more than `most` points: more than one sees.
  std::vector<sm::LossCurve> thinned(std::size_t most = 400) const;
  const std::vector<sm::LossCurve>& all() const { return curves_; }
  bool empty() const { return curves_.empty(); }

 private:
  std::vector<sm::LossCurve> curves_;
};

struct RunCurves {
  std::int64_t steps = 0;
  std::int64_t skipped = 0;                          ///< whose loss or gradient was not finite
  std::map<std::string, std::string> warnings = {};  ///< the collapse monitor's first of each node
  Curves loss, metrics, deviation, rank, teacher_entropy, teacher_entropy_share, center_norm, agreement;
  Curves rate, norm, speed, wait, memory;
};

/// Whether a part of a loss is logged beside it to see a collapse coming, not to be minimised.
bool is_monitor(const std::string& part);

/// Reads RUN/log.jsonl, of a run that is being trained too. x is the step times `scale`. Throws IoError where there is
/// none and DataError, with its number, for a line that is none of a log and for a log without a step.
RunCurves read_curves(const std::filesystem::path& run, double scale = 1);

struct ChartsOf {
  std::string id = "figure-";        ///< what ids of the figures begin with
  std::string section = "Training";  ///< LossChart::section
  std::string x_label = "step";
  bool fold = false;  ///< all but losses, metrics and collapse monitors stand folded
};

/// A chart for each kind of curve that there is.
std::vector<sm::LossChart> charts_of(const RunCurves& curves, const ChartsOf& how = {});

}  // namespace examples
