#include "support/fit_results.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/metrics.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace examples {

std::vector<RunResults> results_of(const Experiment& experiment, int seeds, const std::string& key) {
  std::vector<RunResults> runs;
  for (int seed = 0; seed < seeds; ++seed) runs.push_back(read_results(fit_folder(experiment, seed, key)));
  return runs;
}

sm::ReportRow report_row(const std::string& title, const std::vector<RunResults>& runs) {
  const auto of_test = [&](double sm::Evaluation::* figure) {
    return over_seeds(runs, [figure](const RunResults& run) { return run.of(run.test).*figure; });
  };
  return {title,
          of_test(&sm::Evaluation::auroc),
          of_test(&sm::Evaluation::accuracy),
          {{"accuracy_tuned", "accuracy, tuned on dev", of_test(&sm::Evaluation::tuned_accuracy)}}};
}

Histories histories_of(const Experiment& experiment, int seeds, const std::string& key) {
  Histories histories;
  for (int seed = 0; seed < seeds; ++seed) histories.push_back(sm::read_history(fit_folder(experiment, seed, key)));
  return histories;
}

sm::LossCurve mean_curve(const Histories& histories, const std::string& name, const std::string& part) {
  sm::LossCurve mean{name, {}, {}};
  for (const auto& history : histories) {
    mean.epoch.resize(history.size());
    mean.value.resize(history.size());
    for (std::size_t i = 0; i < history.size(); ++i) {
      mean.epoch[i] = static_cast<double>(history[i].epoch + 1);
      const auto& parts = history[i].parts;
      const auto found = std::ranges::find(parts, part, [](const auto& p) { return p.first; });
      if (found == parts.end()) throw sm::DataError(fmt::format("a run of {} logged no loss \"{}\"", name, part));
      mean.value[i] += found->second / static_cast<double>(histories.size());
    }
  }
  return mean;
}

}  // namespace examples
