// Going on with a run: as if it had never stopped, and never by mistake.
#include <sslmeme/core/error.hpp>
#include <sslmeme/train/logs.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "tiny_run.hpp"

namespace sm = sslmeme;
using namespace sm::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::ExistingRun;

namespace {

struct StopAtEpoch {
  std::int64_t epoch;
  sm::Flow on_epoch_end(const sm::StepInfo& info) const {
    return info.epoch == epoch ? sm::Flow::stop : sm::Flow::proceed;
  }
};

/// What is told of each epoch's end, and measured there.
struct Ends {
  std::vector<std::string>* seen;
  void on_epoch_end(const sm::StepInfo& info) const {
    seen->push_back(std::to_string(info.epoch) + " at " + std::to_string(info.step) + ", batch " +
                    std::to_string(info.batch) + ", loss " + std::to_string(info.mean_loss));
    info.session->record("twice", 2 * info.mean_loss);
  }
};

}  // namespace

TEST_CASE("A run that was stopped and resumed ends, bit by bit, as one that was not") {
  const TemporaryFolder temporary;
  const auto whole = temporary / "whole", cut = temporary / "cut";
  const auto expected = train(options(whole));
  const auto resume = [&] { return train(options(cut, ExistingRun::resume)); };
  SECTION("within an epoch") {
    const auto stopped = train(options(cut), StopAt{7});
    CHECK((stopped.result.stopped && stopped.result.history.size() == 1));
    check_same(resume(), expected, cut);
  }
  SECTION("at the last step of an epoch") {
    train(options(cut), StopAt{5});
    check_same(resume(), expected, cut);
  }
  SECTION("at the end of an epoch") {
    train(options(cut), StopAtEpoch{1});
    check_same(resume(), expected, cut);
  }
  SECTION("several times, once before its first step") {
    train(options(cut), StopAt{1});
    train(options(cut, ExistingRun::resume), StopAt{2});
    train(options(cut, ExistingRun::resume), StopAt{11});
    check_same(resume(), expected, cut);
    check_same(resume(), expected, cut);  // a finished run has nothing left to do
  }
  SECTION("after a crash between checkpoints") {
    CHECK_THROWS_AS(train(options(cut), sm::Checkpoint{.every_epochs = 0, .every_steps = 3}, CrashAt{8}), Crash);
    CHECK(checkpoints_of(cut) == std::set<std::string>{"step-000000003", "step-000000006"});
    check_same(resume(), expected, cut);
  }
  SECTION("after a crash at the first step of an epoch whose end was saved twice") {
    CHECK_THROWS_AS(train(options(cut), sm::Checkpoint{.every_epochs = 1, .every_steps = 5}, CrashAt{6}), Crash);
    check_same(resume(), expected, cut);
  }
  SECTION("after a crash before the first checkpoint") {
    CHECK_THROWS_AS(train(options(cut), CrashAt{2}), Crash);
    check_same(resume(), expected, cut);
  }
}

TEST_CASE("An epoch that was cut off between its last step and its end is ended by the resume") {
  const TemporaryFolder temporary;
  const auto whole = temporary / "whole", cut = temporary / "cut";
  const sm::Checkpoint each_fifth_step{.every_epochs = 0, .every_steps = 5};
  std::vector<std::string> expected_ends, ends, ignored;
  const auto expected = train(options(whole), Ends{&expected_ends}, sm::CsvLog{}, each_fifth_step);
  REQUIRE(expected_ends.size() == epochs);
  SECTION("right after its last step was saved") {
    CHECK_THROWS_AS(train(options(cut), Ends{&ignored}, sm::CsvLog{}, each_fifth_step, CrashAt{5}), Crash);
  }
  SECTION("after its end was measured, but not saved") {
    CHECK_THROWS_AS(train(options(cut), Ends{&ignored}, sm::CsvLog{}, each_fifth_step, CrashAtEndOf{0}), Crash);
    CHECK(log_of(cut).back().contains("metrics"));
  }
  CHECK(checkpoints_of(cut) == std::set<std::string>{"step-000000005"});
  const auto resumed = train(options(cut, ExistingRun::resume), Ends{&ends}, sm::CsvLog{}, each_fifth_step);
  CHECK(ends == expected_ends);
  CHECK(same_state(resumed.state, expected.state));
  CHECK(resumed.result.history.size() == epochs);
  CHECK((timeless_log_of(cut) == timeless_log_of(whole)));
  CHECK(bytes_of(cut / "epochs.csv") == bytes_of(whole / "epochs.csv"));
  const auto history_of = [](const std::filesystem::path& run) {
    return json_of(run / "checkpoints" / "step-000000015" / "manifest.json").at("history");
  };
  CHECK((history_of(cut) == history_of(whole)));
}

TEST_CASE("Half written files of a process that died are removed, and only they") {
  const TemporaryFolder temporary;
  const auto& run = temporary.path;
  train(options(run), StopAt{3});
  const std::vector<std::string> ours{"model.safetensors.tmp123", "log.jsonl.tmp45", "epochs.csv.tmp6",
                                      "checkpoints/step-000000003/manifest.json.tmp7"};
  const std::vector<std::string> others{"model.safetensors.tmp", "model.safetensors.tmp12x", "log.jsonl.tmp4.5",
                                        "notes.txt.tmp12", "my.log.jsonl.tmp3"};
  for (const auto& name : ours) temporary.write(name, "half");
  for (const auto& name : others) temporary.write(name, "mine");
  train(options(run, ExistingRun::resume));
  for (const auto& name : ours) {
    INFO(name);
    CHECK_FALSE(std::filesystem::exists(run / name));
  }
  for (const auto& name : others) {
    INFO(name);
    CHECK(bytes_of(run / name) == "mine");
  }
}

TEST_CASE("resume begins where nothing was yet, too") {
  const TemporaryFolder temporary;
  CHECK(train(options(temporary / "new", ExistingRun::resume)).result.steps == batches * epochs);
}

TEST_CASE("A used directory is refused, resumed or overwritten") {
  const TemporaryFolder temporary;
  const auto run = temporary / "deep" / "run";
  train(options(run), StopAt{3});
  const auto before = all_files_of(run);
  CHECK_THROWS_MATCHES(
      train(options(run)), sm::InvalidArgument,
      MessageMatches(ContainsSubstring(
          run.string() + " holds a run already: choose another directory, --resume it or --overwrite it")));
  CHECK((all_files_of(run) == before));

  std::ofstream{run / "notes.txt"} << "mine";
  auto other = options(run, ExistingRun::overwrite);
  other.seed = 9;
  const auto again = train(other, StopAt{2});
  CHECK(again.result.steps == 2);
  CHECK(log_of(run).size() == 2);
  CHECK(checkpoints_of(run) == std::set<std::string>{"step-000000002"});
  CHECK(json_of(run / "config.json").at("trainer").at("seed") == 9);
  CHECK(bytes_of(run / "notes.txt") == "mine");  // what is not the run's stays
}

TEST_CASE("A changed configuration is refused, naming what changed") {
  const TemporaryFolder temporary;
  const auto& run = temporary.path;
  train(options(run), StopAt{3});
  const auto before = all_files_of(run);
  const auto refused = [&](const sm::TrainerOptions& how, const sm::ModalityGraph& method, const std::string& what) {
    auto loader = make_loader();
    CHECK_THROWS_MATCHES((sm::Trainer{method, how}.fit(loader)), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring("was run with another configuration (" + what)));
    CHECK((all_files_of(run) == before));
  };
  auto how = options(run, ExistingRun::resume);
  how.optimizer = sm::AdamW{.lr = 0.5};
  refused(how, tiny_cass(),
          "trainer/optimizer/lr: 0.01 then, 0.5 now): resume with the same, or choose another directory");
  how = options(run, ExistingRun::resume);
  how.clip_norm = 0;
  how.seed = 5;
  refused(how, tiny_cass(), "trainer/clip_norm: 1.0 then, 0.0 now; trainer/seed: 0 then, 5 now)");
  refused(options(run, ExistingRun::resume), tiny_cass({.dim = 8, .contrast = 0}),
          "method/edges/0/loss: \"cosine+info_nce\" then, \"cosine\" now");
  refused(options(run, ExistingRun::resume), tiny_cass({.dim = 8, .loss = {.mask_duplicates = true}}),
          "method/edges/0/options/1/of/options/mask_duplicates: false then, true now)");

  sm::DataLoader other{Noise{}, sm::cass_views({.size = 16}), {.batch_size = 4, .workers = 2, .seed = 4}};
  CHECK_THROWS_MATCHES(
      (sm::Trainer{tiny_cass(), options(run, ExistingRun::resume)}.fit(other)), sm::InvalidArgument,
      MessageMatches(ContainsSubstring("was run with another configuration (loader/seed: 3 then, 4 now)")));
  CHECK((all_files_of(run) == before));
}

TEST_CASE("A resumed run may be longer, and may come from another version or machine") {
  const TemporaryFolder temporary;
  const auto& run = temporary.path;
  train(options(run));
  auto config = json_of(run / "config.json");
  config["versions"]["sslmeme"] = "0.0.1";
  config["trainer"]["threads"] = 99;
  std::ofstream{run / "config.json"} << config.dump();
  auto how = options(run, ExistingRun::resume);
  how.epochs = epochs + 1;
  const auto longer = train(how);
  CHECK(longer.result.steps == (epochs + 1) * batches);
  CHECK(longer.result.history.size() == epochs + 1);
  config["trainer"]["epochs"] = epochs + 1;  // which is written, and nothing else
  CHECK((json_of(run / "config.json") == config));
}

TEST_CASE("A run with two optimizers, as CASS was published, goes on after a stop as if there had been none") {
  const TemporaryFolder temporary;
  auto how = options(temporary / "whole");
  how.optimizer = sm::AdamW{.lr = 0.01, .weight_decay = 0};
  how.parameters.rules = {{.pattern = "nodes.vit.*", .optimizer = sm::Sgd{.lr = 0.05}}};
  how.schedule = sm::CosineWave{.half_period = sm::Steps{4}, .final_factor = 1e-3};
  const auto expected = train(how);
  const auto moments_of = [&](const char* run) {
    return sm::read_safetensors(temporary / run / "checkpoints/step-000000015/optimizer.safetensors").tensors;
  };
  const auto moments = moments_of("whole");
  for (const auto& [name, tensor] : moments) CHECK(name.starts_with("nodes.vit.") == name.ends_with("momentum_buffer"));

  how.output_dir = temporary / "cut";
  train(how, StopAt{7});
  how.existing = ExistingRun::resume;
  check_same(train(how), expected, temporary / "cut");
  CHECK(same_state(moments_of("cut"), moments));
}

TEST_CASE("A directory that another run trains in is refused") {
  const TemporaryFolder temporary;
  struct Second {
    std::filesystem::path run;
    void on_step_end(const sm::StepInfo& info) const {
      if (info.step != 2) return;
      for (const auto existing : {ExistingRun::resume, ExistingRun::overwrite}) {
        CHECK_THROWS_MATCHES(train(options(run, existing)), sm::InvalidArgument,
                             MessageMatches(ContainsSubstring("is in use by another process")));
      }
    }
  };
  CHECK(train(options(temporary.path), Second{temporary.path}).result.steps == batches * epochs);
  CHECK(log_of(temporary.path).size() == batches * epochs);
}
