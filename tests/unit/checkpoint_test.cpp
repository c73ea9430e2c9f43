// The run directory: what it holds, and that nothing good in it is lost.
#include <sslmeme/core/error.hpp>
#include <sslmeme/version.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <fstream>
#include <limits>
#include <memory>
#include <set>
#include <string>

#include "tiny_run.hpp"

namespace fs = std::filesystem;
namespace sm = sslmeme;
using namespace sm::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::ExistingRun;

TEST_CASE("config.json tells how the run was made") {
  const TemporaryFolder temporary;
  train(options(temporary.path), StopAt{1});
  const auto config = json_of(temporary / "config.json");
  const auto& trainer = config.at("trainer");
  CHECK(trainer.at("epochs") == epochs);
  CHECK(trainer.at("optimizer") == nlohmann::json{{"name", "AdamW"},
                                                  {"lr", 0.01},
                                                  {"beta1", 0.9},
                                                  {"beta2", 0.999},
                                                  {"eps", 1e-8},
                                                  {"weight_decay", 0.01},
                                                  {"final_weight_decay", nullptr}});
  CHECK(trainer.at("schedule") == nlohmann::json{{"name", "WarmupCosine"},
                                                 {"pace", "by_step"},
                                                 {"warmup", {{"epochs", 1.0}}},
                                                 {"warmup_from", -1.0},
                                                 {"final_factor", 0.0}});
  CHECK(trainer.at("precision") == "fp32");
  CHECK(trainer.at("clip_norm") == 1.0);
  CHECK(trainer.at("seed") == 0);
  CHECK(trainer.at("device") == "cpu");
  CHECK(trainer.at("batches_per_epoch") == batches);
  CHECK(config.at("method").at("nodes").at("vit").at("encoder").at("options").at("width") == 12);
  CHECK(config.at("versions").at("sslmeme") == SSLMEME_VERSION);
  CHECK(config.at("versions").contains("libtorch"));
}

TEST_CASE("log.jsonl has a line a step") {
  const TemporaryFolder temporary;
  const auto trained = train(options(temporary.path));
  const auto log = log_of(temporary.path);
  REQUIRE(log.size() == batches * epochs);
  double sum = 0;
  for (std::size_t i = 0; i < log.size(); ++i) {
    INFO(log[i].dump());
    CHECK(log[i].at("step") == i + 1);
    CHECK(log[i].at("epoch") == i / batches);
    CHECK(log[i].at("learning_rate").get<double>() > 0);
    CHECK(log[i].at("gradient_norm").get<double>() > 0);
    CHECK(log[i].at("samples_per_second").get<double>() > 0);
    CHECK(log[i].at("data_wait_share").is_number());
    for (const auto* part : {"cnn-vit", "cnn-vit.cosine", "cnn-vit.info_nce"})
      CHECK(log[i].at("parts").at(part).is_number());
    const bool measured = (i + 1) % batches == 0;
    CHECK(log[i].contains("features") == measured);
    if (measured) CHECK(log[i].at("features").at("cnn").at("effective_rank").get<double>() >= 1);
    if (i < batches) sum += log[i].at("loss").get<double>();
  }
  CHECK(std::abs(sum / batches - trained.result.history[0].loss) < 1e-9);
}

TEST_CASE("The newest two checkpoints are kept, each whole") {
  const TemporaryFolder temporary;
  train(options(temporary.path), sm::Checkpoint{.every_epochs = 1, .every_steps = 4});
  CHECK(checkpoints_of(temporary.path) == std::set<std::string>{"step-000000012", "step-000000015"});
  for (const auto& name : checkpoints_of(temporary.path)) {
    CHECK(names_in(temporary / "checkpoints" / name) ==
          std::set<std::string>{"manifest.json", "model.safetensors", "optimizer.safetensors"});
  }
  CHECK(json_of(temporary / "checkpoints" / "step-000000012" / "manifest.json").at("batch") == 2);
}

TEST_CASE("A checkpoint needs a run directory") {
  auto how = options("");
  CHECK_THROWS_MATCHES(train(how, sm::Checkpoint{}), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("set TrainerOptions::output_dir")));
  CHECK(train(how).result.steps == batches * epochs);
}

TEST_CASE("A damaged checkpoint is passed over for the one before, and made anew") {
  const TemporaryFolder temporary;
  const auto whole = temporary / "whole", run = temporary / "run";
  const auto expected = train(options(whole));
  train(options(run), sm::Checkpoint{.every_epochs = 0, .every_steps = 3}, StopAt{9});
  const auto newest = run / "checkpoints" / "step-000000009";
  SECTION("weights cut short") {
    fs::resize_file(newest / "model.safetensors", 100);
  }
  SECTION("optimizer missing") {
    fs::remove(newest / "optimizer.safetensors");
  }
  SECTION("manifest of no JSON") {
    std::ofstream{newest / "manifest.json"} << "{";
  }
  SECTION("manifest missing") {
    fs::remove(newest / "manifest.json");
  }
  SECTION("manifest without its keys") {
    std::ofstream{newest / "manifest.json"} << "{}";
  }
  SECTION("a checkpoint half written") {
    fs::rename(newest, run / "checkpoints" / "partial-000000009");
  }
  check_same(train(options(run, ExistingRun::resume), sm::Checkpoint{.every_epochs = 0, .every_steps = 3}), expected,
             run);
  SECTION("and without any that is whole there is no resuming") {
    for (const auto& name : checkpoints_of(run)) fs::resize_file(run / "checkpoints" / name / "model.safetensors", 5);
    CHECK_THROWS_MATCHES(train(options(run, ExistingRun::resume)), sm::DataError,
                         MessageMatches(ContainsSubstring("has no usable checkpoint; ") &&
                                        ContainsSubstring("model.safetensors is damaged: 5 bytes with checksum ")));
  }
}

TEST_CASE("A damaged config.json is told as such") {
  const TemporaryFolder temporary;
  train(options(temporary.path), StopAt{1});
  std::ofstream{temporary / "config.json"} << "{";
  CHECK_THROWS_MATCHES(train(options(temporary.path, ExistingRun::resume)), sm::DataError,
                       MessageMatches(ContainsSubstring("config.json cannot be read")));
  CHECK_THROWS_AS(sm::load_image_encoder(temporary.path, "vit"), sm::DataError);
}

TEST_CASE("Encoders of a run come back with their weights") {
  const TemporaryFolder temporary;
  const int steps = GENERATE(4, 15);  // stopped early and finished
  auto loader = make_loader();
  sm::Trainer trainer{tiny_cass(), options(temporary.path)};
  trainer.fit(loader, StopAt{steps});
  for (const auto* node : {"cnn", "vit"}) {
    const auto loaded = sm::load_image_encoder(temporary.path, node);
    CHECK(same_state(sm::state_of(*loaded), sm::state_of(*trainer.method().image_encoder(node))));
    CHECK(loaded->description() == trainer.method().image_encoder(node)->description());
  }
  CHECK_THROWS_MATCHES(sm::load_image_encoder(temporary.path, "text"), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("has no node \"text\" with an encoder; it has: cnn, vit")));
  CHECK_THROWS_MATCHES(sm::load_text_encoder(temporary.path, "vit"), sm::DataError,
                       MessageMatches(ContainsSubstring("described as \"image\" where a text encoder is needed")));
  CHECK_THROWS_AS(sm::load_image_encoder(temporary / "nothing", "vit"), sm::IoError);
}

TEST_CASE("A loss that is not finite leaves the last good checkpoint") {
  const TemporaryFolder temporary;
  auto loader = make_loader();
  auto method = tiny_cass();
  struct Poison {
    std::shared_ptr<torch::nn::Module> module;
    void on_step_end(const sm::StepInfo& info) const {
      const torch::NoGradGuard no_grad;
      if (info.step == 8) module->parameters().front().fill_(std::numeric_limits<float>::quiet_NaN());
    }
  };
  CHECK_THROWS_MATCHES(
      (sm::Trainer{method, options(temporary.path)}.fit(loader, sm::Checkpoint{}, Poison{method.module()})),
      sm::NonFiniteError,
      MessageMatches(ContainsSubstring("the loss is nan at step 8 (epoch 1, batch 3; ids ") &&
                     ContainsSubstring("the checkpoints in " + (temporary / "checkpoints").string() + " are kept")));
  CHECK(checkpoints_of(temporary.path) == std::set<std::string>{"step-000000005"});
  CHECK(log_of(temporary.path).size() == 8);
  const auto expected = train(options(temporary / "whole"));
  check_same(train(options(temporary.path, ExistingRun::resume)), expected, temporary.path);
}

TEST_CASE("The best epoch's checkpoint stays beside the newest") {
  const TemporaryFolder temporary;
  auto how = options(temporary.path);
  how.epochs = 6;
  struct Measure {
    void on_epoch_end(const sm::StepInfo& info) const {
      constexpr double course[] = {0.5, 0.9, 0.6, 0.7, 0.8, 0.8};
      info.session->record("auroc", course[info.epoch]);
    }
  };
  SECTION("highest") {
    train(how, Measure{}, sm::Checkpoint{.keep = 1, .best = "auroc"});
    CHECK(checkpoints_of(temporary.path) == std::set<std::string>{"step-000000010", "step-000000030"});
  }
  SECTION("lowest") {
    train(how, Measure{}, sm::Checkpoint{.keep = 1, .best = "auroc", .higher_is_better = false});
    CHECK(checkpoints_of(temporary.path) == std::set<std::string>{"step-000000005", "step-000000030"});
  }
  SECTION("of several kept") {
    train(how, Measure{}, sm::Checkpoint{.keep = 3});
    CHECK(checkpoints_of(temporary.path) ==
          std::set<std::string>{"step-000000020", "step-000000025", "step-000000030"});
  }
  CHECK(sm::read_history(temporary.path)[1].metrics == sm::NamedValues{{"auroc", 0.9}});
  CHECK_THROWS_AS(train(options(temporary / "none"), sm::Checkpoint{.keep = 0}), sm::InvalidArgument);
}
