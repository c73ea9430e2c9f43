// A training run of a second with a run directory, and what tests ask of such runs.
#pragma once

#include <sslmeme/core/random.hpp>
#include <sslmeme/data/loader.hpp>
#include <sslmeme/method/recipes.hpp>
#include <sslmeme/train/checkpoint.hpp>
#include <sslmeme/train/trainer.hpp>

#include <catch2/catch_test_macros.hpp>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "json_files.hpp"
#include "one_thread.hpp"
#include "state.hpp"

namespace sslmeme::test {

/// Noise, made on the spot.
struct Noise {
  std::size_t size() const { return 20; }
  Sample get(std::size_t i) const {
    Sample sample{Image{16, 16}, {}, {}, static_cast<std::int64_t>(i)};
    Rng rng{i};
    for (auto& value : sample.picture.pixels) value = static_cast<std::uint8_t>(rng.below(256));
    return sample;
  }
};

inline constexpr std::int64_t batches = 5, epochs = 3;

inline DataLoader make_loader() {
  return {Noise{}, cass_views({.size = 16}), {.batch_size = 4, .workers = 1, .seed = 3}};
}

/// Batch norm, dropout-free; InfoNce's scale and AdamW's moments make a state that a sloppy resume would miss.
inline ModalityGraph tiny_cass(const CassOptions& how = {.dim = 8}) {
  return cass(image_encoder("resnet18", {.width = 2, .depth = 1}),
              image_encoder("vit_tiny_patch16_224", {.image_size = 16, .patch_size = 8, .width = 12, .depth = 1}), how);
}

inline TrainerOptions options(const std::filesystem::path& run, ExistingRun existing = ExistingRun::refuse) {
  return {.epochs = epochs,
          .optimizer = AdamW{.lr = 0.01},
          .schedule = WarmupCosine{.warmup = Epochs{1}},
          .clip_norm = 1,
          .output_dir = run,
          .existing = existing};
}

struct StopAt {
  std::int64_t step;
  Flow on_step_end(const StepInfo& info) const { return info.step == step ? Flow::stop : Flow::proceed; }
};

struct Crash : std::runtime_error {
  Crash() : std::runtime_error("power cut") {}
};
struct CrashAt {
  std::int64_t step;
  void on_step_end(const StepInfo& info) const {
    if (info.step == step) throw Crash{};
  }
};
struct CrashAtEndOf {
  std::int64_t epoch;
  void on_epoch_end(const StepInfo& info) const {
    if (info.epoch == epoch) throw Crash{};
  }
};

struct Trained {
  FitResult result;
  NamedTensors state;
};

template <class... Callbacks>
Trained train(const TrainerOptions& how, Callbacks... callbacks) {
  auto loader = make_loader();
  Trainer trainer{tiny_cass(), how};
  auto result = trainer.fit(loader, callbacks...);
  return {std::move(result), state_of(*trainer.method().module())};
}

inline std::vector<nlohmann::json> log_of(const std::filesystem::path& run) {
  return json_lines_of(run / "log.jsonl");
}

inline std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator{folder}) names.insert(entry.path().filename());
  return names;
}
inline std::set<std::string> checkpoints_of(const std::filesystem::path& run) {
  return names_in(run / "checkpoints");
}

/// Equal, or neither a number: the mean loss of an epoch of which every step was skipped.
inline bool same_loss(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

/// `actual` ended as `expected` did, and so says what lies in its run directory.
inline void check_same(const Trained& actual, const Trained& expected, const std::filesystem::path& run) {
  CHECK(same_state(actual.state, expected.state));
  CHECK(actual.result.steps == expected.result.steps);
  REQUIRE(actual.result.history.size() == expected.result.history.size());
  for (std::size_t i = 0; i < expected.result.history.size(); ++i) {
    const auto &a = actual.result.history[i], &b = expected.result.history[i];
    CHECK(
        (a.epoch == b.epoch && same_loss(a.loss, b.loss) && a.parts == b.parts && a.health.size() == b.health.size()));
  }
  const auto log = log_of(run);
  REQUIRE(log.size() == batches * epochs);
  for (std::size_t i = 0; i < log.size(); ++i) CHECK(log[i].at("step") == i + 1);
  CHECK(same_state(read_safetensors(run / "model.safetensors").tensors, expected.state));
}

}  // namespace sslmeme::test
