// From run directories to the report that compares them.
#pragma once

#include <sslmeme/eval/report.hpp>

#include "support/report_runs.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace examples {

struct RunReportOptions {
  std::string title = {};             ///< empty: made of what is compared
  std::filesystem::path tables = {};  ///< results.json of paper_tables; empty: none
  std::size_t mistakes = 12;          ///< shown of a model at most; 0: no memes are shown
  std::size_t models = 4;             ///< so many, best first, have mistakes and a map of their own
  std::int64_t map_memes = 500;       ///< on a map at most; 0: no maps
  bool reasons = true;                ///< mistakes come with attention, occlusion and ablation
  std::int64_t resamples = 300;       ///< of the bootstrap
  std::uint64_t seed = 0;             ///< of the bootstrap and of the choice of memes on a map
  std::function<void(const std::string&)> progress = [](const std::string&) {};  ///< told what is being done
};

/// What could not be shown is among the notes, with the reason. Throws as read_results() and read_curves() do.
sm::Report report_of(const ReportedRuns& runs, const RunReportOptions& options);

/// Tables and label-efficiency curves of paper_tables. Throws IoError and DataError naming the file.
void add_paper_tables(sm::Report& report, const std::filesystem::path& file);

}  // namespace examples
