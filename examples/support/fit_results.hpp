// What the fits of an experiment left, over all seeds: rows of tables and curves of charts.
#pragma once

#include <sslmeme/eval/report.hpp>
#include <sslmeme/train/session.hpp>

#include "support/experiment.hpp"
#include "support/fits.hpp"

#include <string>
#include <vector>

namespace examples {

/// What a classifier measured, one entry a seed.
std::vector<RunResults> results_of(const Experiment& experiment, int seeds, const std::string& key);

/// A row with AUROC and accuracy on the test split, at 0.5 and at the threshold tuned on dev.
sm::ReportRow report_row(const std::string& title, const std::vector<RunResults>& runs);

/// What a fit logged, one entry a seed: the means of every epoch. Reads and checks a whole checkpoint each.
using Histories = std::vector<std::vector<sm::EpochRecord>>;
Histories histories_of(const Experiment& experiment, int seeds, const std::string& key);

/// One part of a fit's loss at every epoch, the mean over seeds. Throws DataError for a part that was not logged.
sm::LossCurve mean_curve(const Histories& histories, const std::string& name, const std::string& part);

}  // namespace examples
