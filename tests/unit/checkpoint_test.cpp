// The run directory: what it holds, and that nothing good in it is lost.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/files.hpp>
#include <sslmeme/version.hpp>

#include <fmt/format.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cmath>
#include <fstream>
#include <limits>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tiny_run.hpp"
#include "train/checkpoint_store.hpp"

namespace fs = std::filesystem;
namespace sm = sslmeme;
using namespace sm::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::EndsWith;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::StartsWith;
using sm::ExistingRun;

namespace {

/// What people were told at the start, after each step, and at the end.
struct Notes {
  std::vector<std::string>* told;
  void note(const sm::StepInfo& info) const {
    if (!info.note.empty()) told->push_back(info.note);
  }
  void on_fit_begin(const sm::StepInfo& info) const { note(info); }
  void on_step_end(const sm::StepInfo& info) const { note(info); }
  void on_fit_end(const sm::StepInfo& info) const { note(info); }
};

/// Makes something in the folder of checkpoints that is in the way.
struct Obstacle {
  fs::path path;
  bool is_folder;
  void on_fit_begin(const sm::StepInfo& /*info*/) const {
    if (is_folder) {
      fs::create_directory(path);
    } else {
      std::ofstream{path} << "in the way";
    }
  }
};

bool whole_checkpoint(const fs::path& path) {
  try {
    sm::detail::read_checkpoint(path);
    return true;
  } catch (const sm::Error&) {
    return false;
  }
}

/// Writes a manifest with other values, and the checksum that belongs to them.
void forge(const fs::path& checkpoint, const nlohmann::json& values) {
  auto manifest = json_of(checkpoint / "manifest.json");
  manifest.update(values);
  manifest.erase("crc32");
  const auto text = manifest.dump(2);
  manifest["crc32"] = fmt::format("{:08x}", sm::digest_of(std::as_bytes(std::span{text})).crc32);
  std::ofstream{checkpoint / "manifest.json"} << manifest.dump(2) << '\n';
}

}  // namespace

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
  CHECK(config.at("loader") ==
        nlohmann::json{{"batch_size", 4}, {"seed", 3}, {"shuffle", true}, {"drop_last", true}, {"pad_last", false}});
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
  const bool damaged = fs::exists(newest) && !whole_checkpoint(newest);
  std::vector<std::string> notes;
  check_same(
      train(options(run, ExistingRun::resume), sm::Checkpoint{.every_epochs = 0, .every_steps = 3}, Notes{&notes}),
      expected, run);
  REQUIRE(notes.size() == (damaged ? 1U : 0U));
  if (damaged) {
    CHECK_THAT(notes[0], StartsWith("resumed from step-000000006, the newest checkpoint that is whole; ") &&
                             ContainsSubstring("step-000000009") && EndsWith("; set aside as damaged-…"));
  }
  CHECK(checkpoints_of(run).contains("damaged-step-000000009") == damaged);
  SECTION("and without any that is whole there is no resuming") {
    for (const auto& name : checkpoints_of(run)) fs::resize_file(run / "checkpoints" / name / "model.safetensors", 5);
    CHECK_THROWS_MATCHES(train(options(run, ExistingRun::resume)), sm::DataError,
                         MessageMatches(ContainsSubstring("has no usable checkpoint; ") &&
                                        ContainsSubstring("model.safetensors is damaged: 5 bytes with checksum ")));
  }
}

TEST_CASE("A write that failed beside the training is told by the next save, or by the end") {
  const TemporaryFolder temporary;
  const Obstacle obstacle{temporary / "checkpoints" / "step-000000003", /*is_folder=*/true};  // without a manifest
  const sm::Checkpoint each_third_step{.every_epochs = 0, .every_steps = 3};
  SECTION("the next save") {
    CHECK_THROWS_MATCHES(train(options(temporary.path), obstacle, each_third_step), sm::IoError,
                         MessageMatches(ContainsSubstring("step-000000003/manifest.json")));
    CHECK(log_of(temporary.path).size() == 6);
  }
  SECTION("the end, which can still be saved") {
    std::vector<std::string> notes;
    CHECK(train(options(temporary.path), obstacle, each_third_step, Notes{&notes}, StopAt{4}).result.steps == 4);
    REQUIRE(notes.size() == 1);
    CHECK_THAT(notes[0], ContainsSubstring("step-000000003/manifest.json"));
    CHECK_NOTHROW(sm::detail::read_checkpoint(temporary / "checkpoints" / "step-000000004"));
  }
}

TEST_CASE("An old checkpoint that cannot be deleted stays, is told of once, and ends nothing") {
  const TemporaryFolder temporary;
  const auto checkpoints = temporary / "checkpoints";
  std::vector<std::string> notes;
  const auto result = train(options(temporary.path), Obstacle{checkpoints / "partial-old-step-000000003", false},
                            sm::Checkpoint{.every_epochs = 0, .every_steps = 3, .keep = 1}, Notes{&notes})
                          .result;
  CHECK(result.steps == batches * epochs);
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0],
             StartsWith("the old checkpoint " + (checkpoints / "step-000000003").string() + " cannot be deleted: "));
  CHECK(checkpoints_of(temporary.path) ==
        std::set<std::string>{"partial-old-step-000000003", "step-000000003", "step-000000015"});
}

TEST_CASE("A checkpoint gives back where the run was and under which circumstances") {
  const TemporaryFolder temporary;
  sm::detail::CheckpointStore store{temporary.path};
  const sm::detail::TrainingState state{
      {.step = 7,
       .epoch = 1,
       .batch = 2,
       .skipped = 1,
       .scaler = {.scale = 512, .fitting = 77},
       .loss_sum = 0.1,
       .summed = 2,
       .part_sums = {{"cosine", 0.3}},
       .health = {{"cnn", 0.9, 3.5, "look"}},
       .history = {{0, 0.7, {{"cosine", 0.2}}, {{"vit", 0.8, 2.5, ""}}, {{"auroc", 0.6}}}}},
      {{"model", sm::NamedTensors{{"weight", torch::arange(3)}}}},
      "0123abcd",
      {.threads = 3, .sslmeme = "0.1.2", .libtorch = "2.0.0"}};
  const auto path = store.start(state);
  store.wait();
  const auto read = sm::detail::read_checkpoint(path);
  const auto& at = read.progress;
  CHECK((at.step == 7 && at.epoch == 1 && at.batch == 2 && at.skipped == 1 && at.loss_sum == 0.1 && at.summed == 2));
  CHECK((at.scaler.scale == 512 && at.scaler.fitting == 77));
  CHECK(at.part_sums == state.progress.part_sums);
  REQUIRE((at.health.size() == 1 && at.history.size() == 1 && at.history[0].health.size() == 1));
  CHECK((at.health[0].name == "cnn" && at.health[0].deviation == 0.9 && at.health[0].effective_rank == 3.5 &&
         at.health[0].warning == "look"));
  CHECK((at.history[0].health[0].name == "vit" && at.history[0].metrics == sm::NamedValues{{"auroc", 0.6}}));
  CHECK_FALSE(at.epoch_ended());
  CHECK(read.config_digest == "0123abcd");
  CHECK((read.made.threads == 3 && read.made.sslmeme == "0.1.2" && read.made.libtorch == "2.0.0"));
  CHECK(torch::equal(read.file("model")[0].second, torch::arange(3)));
}

TEST_CASE("A resume tells of other threads and versions, and refuses another format or configuration") {
  const TemporaryFolder temporary;
  train(options(temporary.path), StopAt{3});
  const auto checkpoint = temporary / "checkpoints" / "step-000000003";
  const auto manifest = json_of(checkpoint / "manifest.json");
  CHECK(manifest.at("format") == 1);
  CHECK(manifest.at("threads") == at::get_num_threads());
  CHECK(manifest.at("versions").at("sslmeme") == SSLMEME_VERSION);
  CHECK(manifest.at("loss_scale").at("scale") == 65536);
  std::vector<std::string> notes;
  const auto resume = [&] { train(options(temporary.path, ExistingRun::resume), Notes{&notes}, StopAt{4}); };
  SECTION("as it was") {
    resume();
    CHECK(notes.empty());
  }
  SECTION("threads and versions") {
    const auto libtorch = manifest.at("versions").at("libtorch").get<std::string>();
    forge(checkpoint, {{"threads", 99}, {"versions", {{"sslmeme", "0.0.1"}, {"libtorch", libtorch}}}});
    resume();
    REQUIRE(notes.size() == 1);
    CHECK(notes[0] == "the checkpoint of step 3 was made otherwise (99 threads then, 1 now; sslmeme 0.0.1 then, " +
                          std::string{SSLMEME_VERSION} + " now): results need not be equal bit by bit");
  }
  SECTION("format") {
    forge(checkpoint, {{"format", 2}});
    CHECK_THROWS_MATCHES(resume(), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring("step-000000003/manifest.json has format 2; ") &&
                                        ContainsSubstring("format 1")));
    CHECK(checkpoints_of(temporary.path) == std::set<std::string>{"step-000000003"});  // it is not damaged
  }
  SECTION("configuration") {
    forge(checkpoint, {{"config", "00000000"}});
    CHECK_THROWS_MATCHES(resume(), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring("is of another configuration than its config.json")));
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
