// The fits behind the demo's table: two pre-trainings and six fine-tunings a seed, and what is kept of them on disk.
#pragma once

#include "support/experiment.hpp"
#include "support/seed_processes.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace examples {

/// One row of the table.
struct DemoRow {
  std::string key;    ///< of files: "cass_mm_vit"
  std::string title;  ///< for people: "CASS-MM (ViT)"
  bool picture, words;
  std::string from;  ///< the pre-training that it starts from: "", "clip", "cass_mm"
  std::string node;  ///< its picture node there
};

/// The rows in the order of the table.
const std::vector<DemoRow>& demo_rows();

struct DemoOptions {
  std::filesystem::path out = "runs/demo";
  int size = 64;  ///< pixels of the pictures
  std::int64_t pretrain_epochs = 9, finetune_epochs = 13, batch = 32;
  double lr = 8e-4;
};

/// Runs all fits of one seed under OUT/seed-N; those that are complete there are not run again.
void run_demo_seed(const DemoOptions& options, int seed, SeedProgress& progress);

/// The folder of one fit.
std::filesystem::path fit_folder(const DemoOptions& options, int seed, const std::string& key);

}  // namespace examples
