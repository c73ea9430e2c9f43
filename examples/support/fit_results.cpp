#include "support/fit_results.hpp"

#include <sslmeme/core/error.hpp>
#include <sslmeme/eval/metrics.hpp>
#include <sslmeme/train/session.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace examples {

std::vector<RunResults> results_of(const Experiment& experiment, int seeds, const std::string& key) {
  std::vector<RunResults> runs;
  for (int seed = 0; seed < seeds; ++seed) runs.push_back(read_results(fit_folder(experiment, seed, key)));
  return runs;
}

sm::Summary over_seeds(const std::vector<RunResults>& runs, const std::function<double(const RunResults&)>& figure) {
  std::vector<double> values;
  for (const auto& run : runs) values.push_back(figure(run));
  return sm::summarize(values);
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

sm::LossCurve mean_curve(const Experiment& experiment, int seeds, const std::string& key, const std::string& name,
                         const std::string& part) {
  sm::LossCurve mean{name, {}, {}};
  for (int seed = 0; seed < seeds; ++seed) {
    const auto history = sm::read_history(fit_folder(experiment, seed, key));
    mean.epoch.resize(history.size());
    mean.value.resize(history.size());
    for (std::size_t i = 0; i < history.size(); ++i) {
      mean.epoch[i] = static_cast<double>(history[i].epoch + 1);
      const auto& parts = history[i].parts;
      const auto found = std::ranges::find(parts, part, [](const auto& p) { return p.first; });
      if (found == parts.end()) throw sm::DataError(fmt::format("the run {} logged no loss \"{}\"", key, part));
      mean.value[i] += found->second / seeds;
    }
  }
  return mean;
}

}  // namespace examples
