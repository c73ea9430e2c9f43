// The checkpoints of a run: written whole or not at all, one at a time beside the training, checked before they are
// used.
#pragma once

#include <sslmeme/train/session.hpp>

#include <filesystem>
#include <future>
#include <optional>
#include <set>
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
  std::vector<FeatureHealth> health = {};  ///< of the last measurement
  std::vector<EpochRecord> history = {};

  /// Whether `epoch` is in the history: with its last step alone it is not at its end.
  bool epoch_ended() const { return !history.empty() && history.back().epoch == epoch; }
};

/// As JSON, bit for bit, and back.
std::string text_of(const Progress& progress);
Progress progress_of(const std::string& text);

/// What the bits of a result depend on beside the configuration.
struct Circumstances {
  int threads = 0;
  std::string sslmeme = {}, libtorch = {};  ///< versions

  static Circumstances present();
  /// "2 threads then, 1 now; LibTorch 2.12.0 then, 2.13.0 now"; empty when all is as it was.
  std::string changes_to(const Circumstances& now) const;
};

/// All that a run needs to go on: tensors by the name of the file that they are in, without its extension.
struct TrainingState {
  Progress progress;
  std::vector<std::pair<std::string, NamedTensors>> tensors;
  std::string config_digest = {};  ///< of the configuration that the run has
  Circumstances made = {};         ///< under which it was reached

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
  /// What people should know since the last call: what load_newest() took, and old checkpoints that could not be
  /// deleted, each told of once. Nothing while a write goes on.
  std::vector<std::string> take_notes();

  /// The newest checkpoint that is whole. Damaged ones are set aside, and told of in the notes. Throws DataError
  /// when there are checkpoints and all are damaged, InvalidArgument when one is of another format.
  std::optional<TrainingState> load_newest();

 private:
  void write(const TrainingState& state, const std::filesystem::path& target) const;
  /// Those of `all`, newest first, that retention leaves.
  std::set<std::filesystem::path> kept(const std::vector<std::filesystem::path>& all) const;
  void remove_old();

  std::filesystem::path folder_;
  Retention retention_;
  TrainingState copy_;  ///< being written; its tensors are used again
  std::vector<std::string> notes_;
  std::set<std::filesystem::path> stuck_;  ///< could not be deleted
  std::future<void> writing_;              ///< which has the members above to itself
};

/// The checkpoint of a folder, checked byte by byte. Throws IoError or DataError naming the file and what is wrong, and
/// InvalidArgument for one of another format.
TrainingState read_checkpoint(const std::filesystem::path& path);
/// Its manifest alone.
Progress read_progress(const std::filesystem::path& path);
/// Checkpoints below `folder`, newest first.
std::vector<std::filesystem::path> checkpoints_in(const std::filesystem::path& folder);

}  // namespace sslmeme::detail
