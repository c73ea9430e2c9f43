// The checkpoints of a run: written whole or not at all, one at a time beside the training, checked before they are
// used.
#pragma once

#include <sslmeme/train/session.hpp>

#include <filesystem>
#include <future>
#include <optional>
#include <string>
#include <vector>

namespace sslmeme::detail {

/// The factor on the loss in fp16, whose gradients would vanish without and overflow with too large a one (Micikevicius
/// et al. 2017, arXiv:1710.03740); as torch's GradScaler.
struct LossScaler {
  double scale = 65536;
  std::int64_t fitting = 0;  ///< steps in a row without overflow

  void overflowed() {
    scale /= 2;
    fitting = 0;
  }
  void fitted() {
    constexpr std::int64_t patience = 2000;
    if (++fitting % patience == 0) scale *= 2;
  }
};

/// Where a run is.
struct Progress {
  std::int64_t step = 0, epoch = 0, batch = 0;
  std::int64_t skipped = 0;  ///< steps in a row that changed nothing
  LossScaler scaler;
  double loss_sum = 0;      ///< over this epoch so far
  std::int64_t summed = 0;  ///< steps in it
  NamedValues part_sums;
  std::vector<EpochRecord> history;
};

/// All that a run needs to go on: tensors by the name of the file that they are in, without its extension.
struct TrainingState {
  Progress progress;
  std::vector<std::pair<std::string, NamedTensors>> tensors;
  std::string config_digest;  ///< of the configuration that the run has

  const NamedTensors& file(const std::string& name) const;
};

/// checkpoints/step-N/ holds a safetensors file for each group of tensors, and manifest.json: progress, the digest of
/// every file and of the manifest itself, versions. All is written under another name, synced, and renamed.
class CheckpointStore {
 public:
  explicit CheckpointStore(const std::filesystem::path& folder);
  ~CheckpointStore();
  CheckpointStore(const CheckpointStore&) = delete;
  CheckpointStore& operator=(const CheckpointStore&) = delete;

  /// Which checkpoints the next writes leave.
  void retain(Retention retention);

  /// Takes the memory for copies of states like this one, beside what the caller does next.
  void reserve(const TrainingState& state);
  /// Copies the state and writes the copy beside what the caller does next. Waits for the write before it, and throws
  /// its error. Returns the path under which the checkpoint will be.
  std::filesystem::path start(const TrainingState& state);
  /// Waits until nothing is being written; throws the error of the last write.
  void wait();

  /// The newest checkpoint that is whole. Damaged ones are set aside, and told of in `notes`. Throws DataError when
  /// there are checkpoints and all are damaged.
  std::optional<TrainingState> load_newest(std::vector<std::string>& notes) const;

 private:
  void write(const TrainingState& state, const std::filesystem::path& target) const;
  void remove_old() const;

  std::filesystem::path folder_;
  Retention retention_;
  TrainingState copy_;  ///< being written; its tensors are used again
  std::future<void> writing_;
};

/// The checkpoint of a folder, checked byte by byte. Throws IoError or DataError naming the file and what is wrong.
TrainingState read_checkpoint(const std::filesystem::path& path);
/// Its manifest alone.
Progress read_progress(const std::filesystem::path& path);
/// Checkpoints below `folder`, newest first.
std::vector<std::filesystem::path> checkpoints_in(const std::filesystem::path& folder);

}  // namespace sslmeme::detail
