// The run directory: config.json, log.jsonl, checkpoints/step-N, model.safetensors.
#pragma once

#include <sslmeme/train/session.hpp>

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <optional>

namespace sslmeme::detail {

/// What a checkpoint holds beside weights and optimizer state.
struct Manifest {
  std::int64_t step = 0, epoch = 0, batch = 0;
  double loss_sum = 0;  ///< over this epoch so far
  NamedValues part_sums;
  std::vector<EpochRecord> history;
};

struct Checkpoint {
  Manifest manifest;
  NamedTensors weights, optimizer;
  std::filesystem::path path;
};

class RunDirectory {
 public:
  /// Makes or enters the directory as options.existing says; writes or compares config.json.
  RunDirectory(const TrainerOptions& options, const nlohmann::json& config);

  /// The newest checkpoint whose files are all there, when resuming.
  const std::optional<Checkpoint>& resumed() const { return resumed_; }
  /// Frees the tensors of resumed().
  void forget_resumed() { resumed_.reset(); }

  void log(const nlohmann::json& line);
  void flush_log();
  std::filesystem::path save(const Manifest& manifest, const NamedTensors& weights, const NamedTensors& optimizer);
  const std::filesystem::path& path() const { return path_; }

 private:
  void compare_config(const nlohmann::json& config) const;
  void load_newest();
  void cut_log(std::int64_t last_step) const;

  std::filesystem::path path_;
  std::ofstream log_;
  std::optional<Checkpoint> resumed_;
};

nlohmann::json values_json(const NamedValues& values);

}  // namespace sslmeme::detail
