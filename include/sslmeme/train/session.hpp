// TrainingSession: the part of training that needs no template. Trainer drives it; callbacks reach it through StepInfo.
#pragma once

#include <sslmeme/core/batch.hpp>
#include <sslmeme/core/precision.hpp>
#include <sslmeme/core/process_group.hpp>
#include <sslmeme/data/quarantine.hpp>
#include <sslmeme/loss/concepts.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/train/average.hpp>
#include <sslmeme/train/callback.hpp>
#include <sslmeme/train/optimizer.hpp>
#include <sslmeme/train/schedule.hpp>

#include <torch/nn/module.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sslmeme {

struct LoaderOptions;

/// What to do with a run directory that was used before.
enum class ExistingRun {
  refuse,     ///< throw InvalidArgument
  resume,     ///< go on from its newest checkpoint; from the start when there is none
  overwrite,  ///< delete it
};

/// Whose gradient clip_norm limits.
enum class ClipScope {
  all,   ///< all gradients together, as one vector
  each,  ///< each parameter's by itself, as DINO's code does
};

struct TrainerOptions {
  std::int64_t epochs = 10;
  /// Batches of the loader that make one optimizer step, as one large batch would at the memory of one of them: exact
  /// for methods that can represent() and compare(), and for losses that are means over samples, but for batch norm,
  /// which takes the statistics of each batch by itself. The last step of an epoch takes what is left.
  std::int64_t accumulate = 1;
  OptimizerOptions optimizer = AdamW{};
  ParameterGroups parameters = {};  ///< rules by name and layer decay
  Schedule schedule = {};           ///< of the learning rate
  /// Of the encoders; losses always run in fp32. With fp16 the loss is scaled up before its gradient is taken, and a
  /// step whose gradients overflow though its loss is finite is skipped, with half the scale from then on.
  Precision precision = Precision::fp32;
  std::optional<WeightAverage> average = {};  ///< an exponential moving average of all weights beside them
  double clip_norm = 0;                       ///< gradients longer than this are scaled down to it; 0 never
  ClipScope clip_scope = ClipScope::all;
  /// So many steps in a row may have a loss or gradient that is not finite: they change nothing, and are logged. 0: the
  /// first ends training.
  std::int64_t skip_non_finite = 0;
  std::uint64_t seed = 0;                      ///< of dropout; data and initial weights have seeds of their own
  std::string device = "cpu";                  ///< "cpu", "cuda", "cuda:1"
  std::filesystem::path output_dir = {};       ///< the run directory; empty: nothing is written
  ExistingRun existing = ExistingRun::refuse;  ///< when output_dir was used before
  std::int64_t monitor_every = 50;             ///< steps between two looks of the collapse monitor
  /// Several processes that train as one, each on its share of every batch (LoaderOptions::rank and ranks): gradients,
  /// losses and their parts are means over ranks. All have the same options, begin with the weights and resume with the
  /// state of rank 0, which alone writes the run directory. Losses that compare samples need a Gather of the same
  /// group.
  std::shared_ptr<const ProcessGroup> ranks = {};
};

/// Means over one epoch.
struct EpochRecord {
  std::int64_t epoch = 0;
  double loss = 0;
  NamedValues parts;
  std::vector<FeatureHealth> health;
  NamedValues metrics = {};  ///< what callbacks recorded
};

/// Which checkpoints stay.
struct Retention {
  std::int64_t newest = 2;       ///< so many of the newest; at least 1
  std::string best = {};         ///< also the one at the end of the best epoch by this metric, part, or "loss"
  bool higher_is_better = true;  ///< of `best`
};

/// What training calls of a method.
struct MethodCalls {
  std::function<LossOutput(const Batch&, const StepContext&)> step;
  std::function<void(const StepContext&, const LossOutput&)> after_step;
  std::function<NamedTensors(const Batch&, const StepContext&)> represent;  ///< these two or neither
  std::function<LossOutput(const NamedTensors&, const StepContext&)> compare;
};

struct FitResult {
  std::vector<EpochRecord> history;  ///< every epoch of the run, those before a resume included
  std::int64_t steps = 0;
  double seconds = 0;        ///< of this call
  bool stopped = false;      ///< a callback ended it early
  bool interrupted = false;  ///< by Flow::interrupt: the run waits to be resumed
};

/// One run of training: optimizer, schedule, precision, run directory, log and checkpoints.
///
/// A run directory holds config.json (options, method, loader, versions, seed), log.jsonl (a line a step),
/// model.safetensors and average.safetensors (at the end), quarantine.jsonl (a line for each sample that could not be
/// read, if there is one) and checkpoints/step-N/ (weights, their average, optimizer, manifest.json with digests;
/// written beside the training under another name and renamed when complete).
///
/// Of several ranks, all do the same in the same order. Buffers that differ between them, as running statistics of
/// batch norm do, become those of rank 0 at the end of an epoch; so measurements after it agree. Ranks other than 0
/// write nothing but quarantine.rank-N.jsonl, and what saves a checkpoint does nothing there.
class TrainingSession {
 public:
  /// method_json: Method::describe() or empty. loader: the options that its batches come from, where there are any;
  /// those of them that decide what a step learns from are part of the configuration. Throws InvalidArgument for bad
  /// options, for a used directory under ExistingRun::refuse or in use by another process, and on resume when the
  /// configuration differs (naming the keys).
  TrainingSession(std::shared_ptr<torch::nn::Module> module, TrainerOptions options, std::int64_t batches_per_epoch,
                  const std::string& method_json, const LoaderOptions* loader = nullptr);
  ~TrainingSession();
  TrainingSession(const TrainingSession&) = delete;
  TrainingSession& operator=(const TrainingSession&) = delete;

  /// Where to go on: the first epoch that has not ended, and the batch in it: batches_per_epoch of an epoch that was
  /// cut off between its last step and end_epoch().
  std::int64_t first_epoch() const;
  std::int64_t first_batch() const;

  void begin_epoch(std::int64_t epoch);
  /// Forward, backward, clip, update, after_step, log. parts: TrainerOptions::accumulate batches, fewer at the end of
  /// an epoch. wait: seconds that they were waited for. Throws NonFiniteError, naming step and ids, before any
  /// parameter changed, when loss or gradients are not finite, once skip_non_finite steps in a row were skipped; of
  /// several ranks on all of them, whosever loss it is.
  void step(std::vector<Batch> parts, double wait, const MethodCalls& method);
  /// Adds the samples that quarantine.jsonl has not yet, by their position; a resumed run keeps what is there. Throws
  /// IoError.
  void note_unreadable(const Quarantine& quarantine);
  void end_epoch();
  /// The strongest wish of all ranks.
  Flow agree(Flow flow) const;
  /// Throws InvalidArgument: the loader ended an epoch before its batches_per_epoch().
  [[noreturn]] void refuse_short_epoch() const;
  /// Final checkpoint and, unless interrupted, weights; makes the result.
  FitResult finish(Flow flow);

  const StepInfo& info() const;
  /// Since the session began, as of now; StepInfo::seconds is as of the last step.
  double seconds() const;
  /// Every epoch that is complete.
  const std::vector<EpochRecord>& history() const;
  /// Notes a measurement of the epoch that just ended (call it from on_epoch_end) in its record, the log and later
  /// checkpoints. Throws InvalidArgument within an epoch.
  void record(const std::string& name, double value);
  /// Calls `body` while the module has the averaged weights. Throws InvalidArgument without TrainerOptions::average.
  void with_average(const std::function<void()>& body);

  /// Copies the present state and writes the copy to a new checkpoint beside what follows, one at a time. Returns its
  /// path, on ranks other than 0 an empty one. Throws InvalidArgument without output_dir, and IoError when the system
  /// refused the write before this one; older checkpoints then stay.
  std::filesystem::path start_checkpoint();
  /// The same, and waits until it is written.
  std::filesystem::path save_checkpoint();
  /// Says which checkpoints stay, and takes the memory for their copies beside the first steps, so that the first
  /// checkpoint does not hold up training for it.
  void retain(Retention retention);
  const std::filesystem::path& output_dir() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The means of every complete epoch of a run, from its newest checkpoint. Throws DataError when there is none that can
/// be read.
std::vector<EpochRecord> read_history(const std::filesystem::path& run);

/// The weights of one encoder of a finished run, e.g. load_image_encoder("runs/clip", "image"): the architecture comes
/// from config.json, its maker from `registry`. Throws InvalidArgument when the run has no such node, IoError or
/// DataError when its files cannot be used.
ImageEncoder load_image_encoder(const std::filesystem::path& run, const std::string& node,
                                const BackboneRegistry& registry = BackboneRegistry::built_in());
TextEncoder load_text_encoder(const std::filesystem::path& run, const std::string& node,
                              const BackboneRegistry& registry = BackboneRegistry::built_in());

}  // namespace sslmeme
