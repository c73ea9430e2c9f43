// The run directory: config.json, log.jsonl and a lock, beside what CheckpointStore keeps.
#pragma once

#include <sslmeme/train/session.hpp>

#include "train/checkpoint_store.hpp"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <optional>

namespace sslmeme::detail {

/// Held by one process at a time; freed with it, however it ends.
class DirectoryLock {
 public:
  /// Throws InvalidArgument when another process holds it.
  explicit DirectoryLock(const std::filesystem::path& folder);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int descriptor_;
};

class RunDirectory {
 public:
  /// Makes or enters the directory as options.existing says; writes or compares config.json.
  RunDirectory(const TrainerOptions& options, const nlohmann::json& config);

  /// The newest checkpoint that is whole, when resuming; once.
  std::optional<TrainingState> take_resumed() { return std::exchange(resumed_, {}); }

  void log(const nlohmann::json& line);
  void flush_log();
  CheckpointStore& checkpoints() { return *checkpoints_; }
  const std::filesystem::path& path() const { return path_; }
  const std::string& config_digest() const { return config_digest_; }

 private:
  void resume(const nlohmann::json& config);
  void compare_config(const nlohmann::json& old, const nlohmann::json& config) const;
  void cut_log(const Progress& at) const;

  std::filesystem::path path_;
  std::string config_digest_;
  std::optional<DirectoryLock> lock_;
  std::optional<CheckpointStore> checkpoints_;
  std::optional<TrainingState> resumed_;
  std::ofstream log_;
};

nlohmann::json values_json(const NamedValues& values);

/// config.json of a run directory. Throws IoError where there is none and DataError for what is no JSON.
nlohmann::json read_config(const std::filesystem::path& run);

}  // namespace sslmeme::detail
