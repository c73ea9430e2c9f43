#include <sslmeme/train/session.hpp>

#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/nn/weights.hpp>

#include "core/device.hpp"
#include "nn/buffer_snapshot.hpp"
#include "train/gradients.hpp"
#include "train/ranks.hpp"
#include "train/run_config.hpp"
#include "train/run_directory.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <set>
#include <span>
#include <sstream>

namespace sslmeme {
namespace {

using Clock = std::chrono::steady_clock;

/// What all ranks found to be not finite.
struct NonFiniteLoss : NonFiniteError {
  using NonFiniteError::NonFiniteError;
};
/// A gradient that is not finite although its loss is: in fp16 its scale may be to blame.
struct NonFiniteGradient : NonFiniteLoss {
  using NonFiniteLoss::NonFiniteLoss;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// "ids 4, 17, 3 and 29 more"
std::string ids_of(std::span<const Batch> parts) {
  std::vector<Tensor> of_parts;
  for (const auto& part : parts) of_parts.push_back(part.ids);
  const auto ids = torch::cat(of_parts).cpu();
  constexpr std::int64_t shown = 8;
  std::vector<std::int64_t> some;
  for (std::int64_t i = 0; i < std::min(shown, ids.numel()); ++i) some.push_back(ids[i].item<std::int64_t>());
  auto text = fmt::format("ids {}", fmt::join(some, ", "));
  if (ids.numel() > shown) text += fmt::format(" and {} more", ids.numel() - shown);
  return text;
}

/// 0 where the system does not tell.
double resident_megabytes() {
  std::ifstream status{"/proc/self/statm"};
  double total = 0, resident = 0;
  if (!(status >> total >> resident)) return 0;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

void add_to(NamedValues& sums, const NamedValues& values) {
  for (const auto& [name, value] : values) {
    const auto found =
        std::find_if(sums.begin(), sums.end(), [&, &wanted = name](const auto& sum) { return sum.first == wanted; });
    if (found == sums.end()) {
      sums.emplace_back(name, value);
    } else {
      found->second += value;
    }
  }
}

}  // namespace

struct TrainingSession::State {
  State(std::shared_ptr<torch::nn::Module> module_, TrainerOptions options_)
      : module{std::move(module_)},
        options{std::move(options_)},
        device{detail::parse_device(options.device)},
        ranks{options.ranks} {
    module->to(device);
    optimizer.emplace(*module, options.optimizer, options.parameters);
    if (options.average) average.emplace(*module, *options.average);
  }

  std::shared_ptr<torch::nn::Module> module;
  TrainerOptions options;
  torch::Device device;
  detail::Ranks ranks;
  std::optional<Optimizer> optimizer;
  std::optional<AveragedWeights> average;
  std::optional<detail::RunDirectory> directory;
  detail::Progress at;  ///< where the run is
  StepInfo info;
  Clock::time_point began = Clock::now(), epoch_began = began;
  double waited = 0;
  std::int64_t samples = 0;  ///< in this epoch, since this process began it
  bool epoch_is_complete = false;
  /// What quarantine.jsonl holds: so many of the loader's list, their positions with earlier ones, its text.
  struct {
    std::size_t noted = 0;
    std::set<std::size_t> known;
    std::string text;
  } unreadable;

  void restore(const detail::TrainingState& checkpoint) {
    if (checkpoint.config_digest != directory->config_digest()) {
      throw InvalidArgument(
          fmt::format("the newest checkpoint in {} is of another configuration than its config.json: "
                      "resume where it was made",
                      directory->path().string()));
    }
    at = checkpoint.progress;
    load_state(*module, checkpoint.file("model"));
    optimizer->load_state(checkpoint.file("optimizer"));
    if (average) average->load_state(checkpoint.file("average"));
    if (const auto changes = checkpoint.made.changes_to(detail::Circumstances::present()); !changes.empty()) {
      add_note(fmt::format("the checkpoint of step {} was made otherwise ({}): results need not be equal bit by bit",
                           at.step, changes));
    }
  }

  /// Whether this rank writes the run directory.
  bool writes() const { return !options.output_dir.empty() && ranks.rank() == 0; }

  /// Throws InvalidArgument on a rank that is configured otherwise than the first, and Error on the first.
  void require_one_configuration(const nlohmann::json& config) const {
    if (ranks.size() == 1) return;
    const auto of_first = nlohmann::json::parse(ranks.first(config.dump()));
    for (const auto& [key, there, here] : detail::differences(of_first, config)) {
      if (key == "trainer/device" || key == "trainer/threads" || key.starts_with("versions")) continue;
      throw InvalidArgument(fmt::format("{} is {} on rank 0 and {} on rank {}: start all ranks with the same options",
                                        key, there.dump(), here.dump(), ranks.rank()));
    }
    ranks.all(0);  // waits until the others have found the same
  }

  /// All ranks begin where the first one is, in a run that may have been resumed.
  void begin_together() {
    if (ranks.size() > 1) {
      at = detail::progress_of(ranks.first(detail::text_of(at)));
      ranks.take_first(state_of(*module));
      ranks.take_first(optimizer->state());
      if (average) ranks.take_first(average->state());
    }
    info.step = at.step;
    info.epoch = at.epoch;
    info.batch = at.batch;
    info.health = at.health;
  }

  void add_note(const std::string& note) { info.note += (info.note.empty() ? "" : "; ") + note; }
  /// What the checkpoints have to tell.
  void add_notes_of_checkpoints() {
    if (!directory) return;
    for (const auto& note : directory->checkpoints().take_notes()) add_note(note);
  }

  detail::TrainingState state() const {
    detail::TrainingState all{at,
                              {{"model", state_of(*module)}, {"optimizer", optimizer->state()}},
                              directory->config_digest(),
                              detail::Circumstances::present()};
    if (average) all.tensors.emplace_back("average", average->state());
    return all;
  }

  TrainingTime time() const { return {info.step, info.total_steps, steps_in_epoch()}; }

  /// Throws NotFinite unless the number is finite, on every rank; nothing was updated yet.
  template <class NotFinite>
  void require_finite(double value, const char* what, std::span<const Batch> parts) {
    const auto of_ranks = ranks.all(value);
    const auto bad = std::ranges::find_if(of_ranks, [](double of_rank) { return !std::isfinite(of_rank); });
    if (bad == of_ranks.end()) return;
    optimizer->zero_grad();
    const auto kept =
        directory ? fmt::format("; the checkpoints in {} are kept", (directory->path() / "checkpoints").string()) : "";
    auto where = std::isfinite(value) ? fmt::format("on rank {}", bad - of_ranks.begin()) : ids_of(parts);
    if (ranks.size() > 1 && std::ranges::none_of(of_ranks, [](double of_rank) { return std::isfinite(of_rank); }))
      where += ", or those of another rank";  // which gradients and gathered losses have spread
    throw NotFinite(
        fmt::format("the {} is {} at step {} (epoch {}, batch {}; {}){}: lower the learning rate, clip gradients, or "
                    "look at these samples",
                    what, *bad, info.step, info.epoch, info.batch, where, kept));
  }

  /// Forward, backward and update.
  LossOutput learn(std::span<const Batch> parts, const StepContext& context, const MethodCalls& method) {
    const auto scale = options.precision == Precision::fp16 ? at.scaler.scale : 1.0;
    const detail::GradientScope scope{
        [&](std::int64_t part, const std::function<void()>& forward) {
          const auto step = static_cast<std::uint64_t>(info.step), rank = static_cast<std::uint64_t>(ranks.rank());
          const auto seed = rank == 0 ? derive_seed({options.seed, step}) : derive_seed({options.seed, step, rank});
          const TorchSeedScope seeded{part == 0 ? seed : derive_seed({seed, static_cast<std::uint64_t>(part)}), device};
          const Autocast autocast{options.precision, device.type()};
          forward();
        },
        [&](const LossOutput& output) {
          if (!output.total.defined() || output.total.numel() != 1) {
            throw InvalidArgument(fmt::format("the method returned a loss of shape {}; it must be 0-d: take its mean",
                                              shape_string(output.total)));
          }
          require_finite<NonFiniteLoss>(output.total.item<double>(), "loss", parts);
        },
        scale};
    optimizer->zero_grad();
    auto output = detail::add_gradient(*module, parts, context, method, scope);
    ranks.average_gradients(*module);
    if (scale != 1) optimizer->scale_gradients(1 / scale);
    const auto norm = optimizer->gradient_norm();
    require_finite<NonFiniteGradient>(norm, "gradient norm", parts);
    info.gradient_norm = norm;
    read_losses(output);  // now, before a GPU is given the update to do, which the next forward pass need not wait for
    if (options.clip_norm > 0 && options.clip_scope == ClipScope::each) {
      optimizer->clip_each_gradient(options.clip_norm);
    } else if (options.clip_norm > 0 && info.gradient_norm > options.clip_norm) {
      optimizer->scale_gradients(options.clip_norm / info.gradient_norm);
    }
    const auto factor = options.schedule.factor(time());
    info.learning_rate = learning_rate_of(options.optimizer) * factor;
    optimizer->step(factor, time());
    return output;
  }

  /// learn(), or nothing where a step may be skipped and must be: then all is as it was before. A gradient that
  /// overflowed for the sake of its scale is not held against the run.
  std::optional<LossOutput> try_to_learn(std::span<const Batch> parts, const StepContext& context,
                                         const MethodCalls& method) {
    const bool may_scale_down = options.precision == Precision::fp16 && at.scaler.scale > 1;
    const bool may_skip = at.skipped < options.skip_non_finite;
    std::optional<detail::BufferSnapshot> buffers;
    if (may_scale_down || may_skip) buffers.emplace(*module);
    try {
      auto output = learn(parts, context, method);
      at.skipped = 0;
      if (options.precision == Precision::fp16) at.scaler.fitted();
      return output;
    } catch (const NonFiniteError& error) {
      const bool of_all_ranks = dynamic_cast<const NonFiniteLoss*>(&error) != nullptr;
      if (ranks.size() > 1 && !of_all_ranks) throw;  // the others know nothing of it
      const bool overflowed = may_scale_down && dynamic_cast<const NonFiniteGradient*>(&error) != nullptr;
      if (!overflowed && !may_skip) throw;
      buffers->restore();
      info.note = fmt::format("step {} is skipped: {}", info.step, error.what());
      if (overflowed) {
        at.scaler.overflowed();
      } else {
        ++at.skipped;
      }
      return {};
    }
  }

  /// How many optimizer steps so many batches of an epoch make.
  std::int64_t steps_of(std::int64_t batches) const { return (batches + options.accumulate - 1) / options.accumulate; }
  std::int64_t steps_in_epoch() const { return steps_of(info.batches_per_epoch); }

  /// The step's losses, over all ranks.
  void read_losses(const LossOutput& output) {
    std::vector<double> values{output.total.item<double>()};
    for (const auto& [name, value] : output.parts) values.push_back(value.item<double>());
    values = ranks.means(std::move(values));
    info.loss = values.front();
    info.parts.clear();
    for (std::size_t i = 0; i < output.parts.size(); ++i) info.parts.emplace_back(output.parts[i].first, values[i + 1]);
  }

  void account() {
    at.loss_sum += info.loss;
    ++at.summed;
    add_to(at.part_sums, info.parts);
    take_means();
  }

  /// Over the steps of this epoch that were not skipped; no number where there was none.
  void take_means() {
    const auto steps = static_cast<double>(at.summed);
    info.mean_loss = at.summed == 0 ? std::numeric_limits<double>::quiet_NaN() : at.loss_sum / steps;
    info.mean_parts = at.part_sums;
    for (auto& [name, value] : info.mean_parts) value /= steps;
  }

  void advance(double wait, std::span<const Batch> parts) {
    ++info.step;
    info.batch += static_cast<std::int64_t>(parts.size());
    at.step = info.step;
    at.batch = info.batch;
    for (const auto& part : parts) samples += part.size() * ranks.size();
    waited += wait;
    const auto epoch_seconds = seconds_since(epoch_began);
    info.samples_per_second = static_cast<double>(samples) / epoch_seconds;
    info.data_wait_share = std::min(1.0, waited / epoch_seconds);
    info.seconds = seconds_since(began);
    info.resident_mb = resident_megabytes();
  }

  void look_for_collapse(const LossOutput& output) {
    info.health_is_new = info.step % options.monitor_every == 0 || info.batch == info.batches_per_epoch;
    if (!info.health_is_new) return;
    info.health.clear();
    for (const auto& [name, z] : output.features) {
      if (z.size(0) >= 2) info.health.push_back(measure_features(name, z));
    }
    judge_teacher(info.health, info.parts, static_cast<double>(info.step) / static_cast<double>(info.total_steps));
    at.health = info.health;
  }

  void log_skipped() {
    if (!directory) return;
    directory->log({{"step", info.step}, {"epoch", info.epoch}, {"skipped", true}, {"note", info.note}});
  }

  void log() {
    if (!directory) return;
    nlohmann::json line{{"step", info.step},
                        {"epoch", info.epoch},
                        {"loss", info.loss},
                        {"parts", detail::values_json(info.parts)},
                        {"learning_rate", info.learning_rate},
                        {"gradient_norm", info.gradient_norm},
                        {"samples_per_second", info.samples_per_second},
                        {"data_wait_share", info.data_wait_share},
                        {"resident_mb", std::round(info.resident_mb)}};
    if (info.health_is_new) {
      for (const auto& h : info.health) {
        line["features"][h.name] = {{"deviation", h.deviation}, {"effective_rank", h.effective_rank}};
        if (!h.warning.empty()) line["features"][h.name]["warning"] = h.warning;
      }
    }
    directory->log(line);
  }

  detail::RunDirectory& directory_to_save_in() {
    if (!directory)
      throw InvalidArgument("there is no run directory to save a checkpoint in: set TrainerOptions::output_dir");
    directory->flush_log();  // a resume cuts the log at the checkpoint, so it must reach there
    return *directory;
  }
};

TrainingSession::TrainingSession(std::shared_ptr<torch::nn::Module> module, TrainerOptions options,
                                 std::int64_t batches_per_epoch, const std::string& method_json,
                                 const LoaderOptions* loader) {
  detail::check_options(options, batches_per_epoch, loader);
  if (!module) throw InvalidArgument("the method has no module: nothing to train");
  state_ = std::make_unique<State>(std::move(module), std::move(options));
  auto& info = state_->info;
  info.session = this;
  info.rank = state_->ranks.rank();
  info.epochs = state_->options.epochs;
  info.batches_per_epoch = batches_per_epoch;
  info.total_steps = info.epochs * state_->steps_in_epoch();
  const auto config = detail::config_json(state_->options, batches_per_epoch, method_json, loader);
  state_->require_one_configuration(config);
  if (state_->writes()) {
    auto& directory = state_->directory.emplace(state_->options, config);
    if (const auto resumed = directory.take_resumed()) state_->restore(*resumed);
    state_->add_notes_of_checkpoints();
  }
  state_->begin_together();
}

TrainingSession::~TrainingSession() = default;

std::int64_t TrainingSession::first_epoch() const {
  return state_->at.epoch_ended() ? state_->at.epoch + 1 : state_->at.epoch;
}

std::int64_t TrainingSession::first_batch() const {
  return state_->at.epoch_ended() ? 0 : state_->at.batch;
}

void TrainingSession::begin_epoch(std::int64_t epoch) {
  auto& at = state_->at;
  if (at.epoch != epoch) {
    at.batch = 0;
    at.loss_sum = 0;
    at.summed = 0;
    at.part_sums.clear();
  }
  at.epoch = epoch;
  state_->info.epoch = epoch;
  state_->info.batch = at.batch;
  state_->epoch_began = Clock::now();
  state_->samples = 0;
  state_->waited = 0;
  state_->epoch_is_complete = false;
  state_->take_means();
  state_->module->train();
}

void TrainingSession::step(std::vector<Batch> parts, double wait, const MethodCalls& method) {
  for (auto& part : parts) part = part.to(state_->device);
  auto& info = state_->info;
  info.note.clear();
  info.health_is_new = false;
  const StepContext before{info.step, info.total_steps, info.epoch};
  const auto output = state_->try_to_learn(parts, before, method);
  info.skipped = !output;
  if (output) state_->account();
  state_->advance(wait, parts);
  if (output) {
    const StepContext after{info.step, info.total_steps, info.epoch};
    method.after_step(after, *output);
    if (state_->average) state_->average->update(before.step);
    state_->look_for_collapse(*output);
    state_->log();
  } else {
    state_->log_skipped();
  }
  state_->add_notes_of_checkpoints();
}

void TrainingSession::note_unreadable(const Quarantine& quarantine) {
  auto& [noted, known, text] = state_->unreadable;
  if (output_dir().empty() || quarantine.samples.size() == noted) return;
  const auto path = output_dir() / quarantine_file(state_->ranks.rank());
  make_directory(output_dir());  // that of rank 0 may be on another machine
  const bool resumed = state_->options.existing == ExistingRun::resume;
  if (noted == 0 && resumed && std::filesystem::exists(path)) {  // what the run had met before it was resumed
    text = read_file(path);
    std::istringstream lines{text};
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (!json.is_object()) continue;
      if (const auto at = json.find("position"); at != json.end() && at->is_number_unsigned())
        known.insert(at->get<std::size_t>());
    }
  }
  for (const auto& sample : quarantine.samples) {
    if (!known.insert(sample.position).second) continue;
    const nlohmann::json line{{"position", sample.position},
                              {"id", sample.id ? nlohmann::json(*sample.id) : nlohmann::json{}},
                              {"source", sample.source},
                              {"fault", sample.fault_name()},
                              {"reason", sample.reason}};
    text += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  write_atomically(path, text);
  noted = quarantine.samples.size();
}

void TrainingSession::end_epoch() {
  auto& info = state_->info;
  NamedTensors buffers;
  for (const auto& buffer : state_->module->named_buffers()) buffers.emplace_back(buffer.key(), buffer.value());
  state_->ranks.take_first(buffers);
  if (state_->average) state_->ranks.take_first(state_->average->state());
  state_->at.history.push_back({info.epoch, info.mean_loss, info.mean_parts, info.health});
  state_->epoch_is_complete = true;
  if (state_->directory) state_->directory->flush_log();
}

Flow TrainingSession::agree(Flow flow) const {
  return static_cast<Flow>(std::ranges::max(state_->ranks.all(static_cast<double>(flow))));
}

void TrainingSession::refuse_short_epoch() const {
  const auto& info = state_->info;
  throw InvalidArgument(
      fmt::format("the loader ended epoch {} after {} of {} batches: its batches_per_epoch() must tell how many come",
                  info.epoch, info.batch, info.batches_per_epoch));
}

FitResult TrainingSession::finish(Flow flow) {
  state_->module->eval();
  state_->info.note.clear();
  if (state_->directory) {
    try {
      state_->directory->checkpoints().wait();
    } catch (const std::exception& error) {  // what follows is newer; if that fails too it throws
      state_->add_note(error.what());
    }
    save_checkpoint();
    state_->add_notes_of_checkpoints();
    if (flow != Flow::interrupt) {
      save_weights(output_dir() / "model.safetensors", *state_->module);
      if (state_->average) write_safetensors(output_dir() / "average.safetensors", state_->average->state());
    }
  }
  return {state_->at.history, state_->info.step, seconds_since(state_->began), flow != Flow::proceed,
          flow == Flow::interrupt};
}

const StepInfo& TrainingSession::info() const {
  return state_->info;
}

double TrainingSession::seconds() const {
  return seconds_since(state_->began);
}

const std::vector<EpochRecord>& TrainingSession::history() const {
  return state_->at.history;
}

void TrainingSession::record(const std::string& name, double value) {
  if (!state_->epoch_is_complete)
    throw InvalidArgument(fmt::format("\"{}\" cannot be recorded within an epoch: do it in on_epoch_end", name));
  auto& record = state_->at.history.back();
  record.metrics.emplace_back(name, value);
  if (!state_->directory) return;
  state_->directory->log({{"step", state_->info.step}, {"epoch", record.epoch}, {"metrics", {{name, value}}}});
}

void TrainingSession::with_average(const std::function<void()>& body) {
  if (!state_->average) throw InvalidArgument("there are no averaged weights: set TrainerOptions::average");
  state_->average->during(body);
}

std::filesystem::path TrainingSession::start_checkpoint() {
  if (state_->ranks.rank() != 0) return {};
  return state_->directory_to_save_in().checkpoints().start(state_->state());
}

std::filesystem::path TrainingSession::save_checkpoint() {
  auto path = start_checkpoint();
  if (!path.empty()) state_->directory->checkpoints().wait();
  return path;
}

void TrainingSession::retain(Retention retention) {
  if (retention.newest < 1)
    throw InvalidArgument(fmt::format("Retention::newest is {}; it must be at least 1", retention.newest));
  if (!state_->directory) return;
  state_->directory->checkpoints().retain(std::move(retention));
  state_->directory->checkpoints().reserve(state_->state());
}

const std::filesystem::path& TrainingSession::output_dir() const {
  return state_->options.output_dir;
}

}  // namespace sslmeme
