// What ends training early, and what steps over a bad batch.
#include <sslmeme/core/error.hpp>
#include <sslmeme/train/checkpoint.hpp>
#include <sslmeme/train/session.hpp>
#include <sslmeme/train/stopping.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <cmath>
#include <csignal>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "tiny_run.hpp"
#include "train/checkpoint_store.hpp"

namespace sm = sslmeme;
using namespace sm::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::ExistingRun;
using sm::Tensor;

namespace {

/// Measures the numbers of a list, one an epoch.
std::function<double()> listed(std::vector<double> values) {
  return [values = std::move(values), next = std::size_t{0}]() mutable { return values.at(next++); };
}

/// Spoils the weights after step `first` … `last`, before which it keeps a copy to put back.
struct Spoil {
  std::shared_ptr<torch::nn::Module> module;
  std::int64_t first, last;
  Tensor kept = {};
  void on_step_end(const sm::StepInfo& info) {
    const torch::NoGradGuard no_grad;
    auto weight = module->parameters().front();
    if (info.step == first) {
      kept = weight.clone();
      weight.fill_(std::numeric_limits<float>::quiet_NaN());
    }
    if (info.step == last) weight.copy_(kept);
  }
};

/// Counts the steps that a process takes.
struct Count {
  int* steps;
  void on_step_end(const sm::StepInfo& /*info*/) const { ++*steps; }
};

/// A signal that comes while an epoch is measured.
struct RaiseAtEndOf {
  std::int64_t epoch;
  void on_epoch_end(const sm::StepInfo& info) const {
    if (info.epoch == epoch) std::raise(SIGTERM);
  }
};

}  // namespace

TEST_CASE("Early stopping waits for so many epochs without improvement") {
  auto how = options("");
  how.epochs = 12;
  const auto epochs_of = [&](const sm::EarlyStopping& stopping) { return train(how, stopping).result.history.size(); };
  const std::vector<double> course{0.5, 0.6, 0.55, 0.7, 0.69, 0.68, 0.67, 0.9, 0.1, 0.1, 0.1, 0.1};
  CHECK(epochs_of({.measure = listed(course), .patience = 3}) == 7);
  CHECK(epochs_of({.measure = listed(course), .patience = 2}) == 6);
  CHECK(epochs_of({.measure = listed(course), .patience = 1}) == 3);
  CHECK(epochs_of({.measure = listed(course), .patience = 4}) == 12);
  CHECK(epochs_of({.measure = listed(course), .patience = 2, .least = 0.3}) == 3);
  CHECK(epochs_of({.measure = listed(course), .patience = 2, .higher_is_better = false}) == 3);
  const double none = std::numeric_limits<double>::quiet_NaN();  // the AUROC of a split with one class
  CHECK(epochs_of({.measure = listed({none, 0.5, none, 0.6, 0.5, none}), .patience = 2}) == 6);
  const auto result = train(how, sm::EarlyStopping{.measure = listed(course), .patience = 1}).result;
  CHECK((result.stopped && !result.interrupted));
  CHECK(result.history[1].metrics == sm::NamedValues{{"auroc", 0.6}});
  CHECK_THROWS_MATCHES(train(how, sm::EarlyStopping{.metric = "f1"}), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("epoch 0 has no metric \"f1\"")));
}

TEST_CASE("A resumed run stops where the whole one does") {
  const TemporaryFolder temporary;
  auto how = options(temporary.path);
  how.epochs = 8;
  train(how, sm::EarlyStopping{.measure = listed({0.5, 0.6}), .patience = 3}, StopAt{12});
  how.existing = ExistingRun::resume;
  const auto result = train(how, sm::EarlyStopping{.measure = listed({0.5, 0.4, 0.3}), .patience = 3}).result;
  CHECK(result.history.size() == 5);
}

TEST_CASE("A run that early stopping ended is not trained on when it is resumed") {
  const TemporaryFolder temporary;
  const auto whole = temporary / "whole", run = temporary / "run";
  const auto how = [](const std::filesystem::path& folder, ExistingRun existing = ExistingRun::refuse) {
    auto longer = options(folder, existing);
    longer.epochs = 6;
    return longer;
  };
  const auto stopping = [](std::vector<double> course) {
    return sm::EarlyStopping{.measure = listed(std::move(course)), .patience = 2};
  };
  const std::vector<double> course{0.6, 0.5, 0.4};
  const auto expected = train(how(whole), stopping(course));
  REQUIRE(expected.result.steps == 3 * batches);
  SECTION("killed before its final weights were written") {
    CHECK_THROWS_AS(train(how(run), stopping(course), sm::Checkpoint{}, CrashAtEndOf{2}), Crash);
    CHECK_FALSE(std::filesystem::exists(run / "model.safetensors"));
  }
  SECTION("after its end") {
    train(how(run), stopping(course), sm::Checkpoint{});
  }
  int steps = 0;
  const auto resumed = train(how(run, ExistingRun::resume), stopping({}), sm::Checkpoint{}, Count{&steps});
  CHECK(steps == 0);
  CHECK((resumed.result.stopped && !resumed.result.interrupted));
  CHECK(resumed.result.history.size() == 3);
  CHECK((bytes_of(run / "model.safetensors") == bytes_of(whole / "model.safetensors")));
  // With more patience than it had it goes on.
  auto patient = stopping({0.7, 0.8, 0.9});
  patient.patience = 3;
  CHECK(train(how(run, ExistingRun::resume), patient).result.steps == 6 * batches);
}

TEST_CASE("A metric that no epoch has yet stops no resumed run") {
  const TemporaryFolder temporary;
  train(options(temporary.path), StopAt{2 * batches});
  const auto how = options(temporary.path, ExistingRun::resume);
  CHECK(train(how, sm::EarlyStopping{.measure = [] { return 0.5; }, .patience = 1}).result.steps == 3 * batches);
}

TEST_CASE("A metric is recorded between epochs only") {
  struct Within {
    void on_step_end(const sm::StepInfo& info) const { info.session->record("auroc", 1); }
  };
  CHECK_THROWS_MATCHES(train(options(""), Within{}), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("\"auroc\" cannot be recorded within an epoch")));
}

TEST_CASE("Time that is up interrupts the run") {
  const TemporaryFolder temporary;
  const auto expected = train(options(temporary / "whole"));
  const auto run = temporary / "run";
  const auto first = train(options(run), sm::MaxTime{std::chrono::seconds{0}}).result;
  CHECK((first.interrupted && first.steps == 1));
  CHECK_FALSE(std::filesystem::exists(run / "model.safetensors"));
  CHECK_FALSE(train(options(""), sm::MaxTime{std::chrono::hours{1}}).result.interrupted);
  check_same(train(options(run, ExistingRun::resume)), expected, run);
}

TEST_CASE("Time that is up while an epoch is measured interrupts the run at once") {
  struct Measure {
    sm::Flow on_epoch_end(const sm::StepInfo& info) const {
      const sm::MaxTime time{std::chrono::duration<double>{info.seconds + 0.01}};
      std::this_thread::sleep_for(std::chrono::milliseconds{20});
      return time.on_epoch_end(info);
    }
  };
  const auto result = train(options(""), Measure{}).result;
  CHECK((result.interrupted && result.steps == batches));
}

TEST_CASE("A signal that comes while an epoch is measured interrupts the run at once, also after the last") {
  const auto epoch = GENERATE(std::int64_t{0}, epochs - 1);
  const TemporaryFolder temporary;
  {
    const sm::SignalWatch watch;
    const auto result = train(options(temporary.path), RaiseAtEndOf{epoch}, sm::StopOnSignal{}).result;
    CHECK((result.interrupted && result.steps == (epoch + 1) * batches));
    CHECK_FALSE(std::filesystem::exists(temporary / "model.safetensors"));
  }
  const auto resumed = train(options(temporary.path, ExistingRun::resume)).result;
  CHECK((!resumed.interrupted && resumed.steps == epochs * batches));
  CHECK(std::filesystem::exists(temporary / "model.safetensors"));
}

TEST_CASE("A signal is heard while it is watched for, and interrupts") {
  {
    const sm::SignalWatch watch;
    CHECK(sm::SignalWatch::received() == 0);
    std::raise(SIGTERM);
    CHECK(sm::SignalWatch::received() == SIGTERM);
    const auto result = train(options(""), sm::StopOnSignal{}).result;
    CHECK((result.interrupted && result.steps == 1));
  }
  const sm::SignalWatch again;
  CHECK(sm::SignalWatch::received() == 0);
  CHECK_FALSE(train(options(""), sm::StopOnSignal{}).result.interrupted);
}

TEST_CASE("Steps whose loss is not finite may be skipped, changing nothing") {
  const TemporaryFolder temporary;
  auto how = options(temporary.path);
  how.skip_non_finite = 2;
  auto method = tiny_cass();
  auto loader = make_loader();
  struct Watch {
    std::shared_ptr<torch::nn::Module> module;
    sm::NamedTensors before = {};
    std::string* note;
    void on_step_end(const sm::StepInfo& info) {
      if (info.step == 8 || info.step == 9) {  // all but the spoilt parameter is as it was
        const auto now = sm::state_of(*module);
        for (std::size_t i = 1; i < now.size(); ++i) CHECK(torch::equal(now[i].second, before[i].second));
        *note = info.note;
      } else {
        CHECK(info.note.empty());
      }
      before.clear();
      for (const auto& [name, tensor] : sm::state_of(*module)) before.emplace_back(name, tensor.detach().clone());
    }
  };
  std::string note;
  const auto result =
      sm::Trainer{method, how}.fit(loader, Watch{method.module(), {}, &note}, Spoil{method.module(), 7, 9});
  CHECK(result.steps == batches * epochs);
  CHECK_THAT(note, ContainsSubstring("step 8 is skipped: the loss is nan at step 8 (epoch 1, batch 3; ids "));
  const auto log = log_of(temporary.path);
  REQUIRE(log.size() == batches * epochs);
  double sum = 0;
  for (std::size_t i = 0; i < log.size(); ++i) {
    CHECK(log[i].contains("skipped") == (i == 7 || i == 8));
    if (i >= 5 && i < 10 && !log[i].contains("skipped")) sum += log[i].at("loss").get<double>();
  }
  CHECK(std::abs(result.history[1].loss - sum / 3) < 1e-9);
  for (const auto& parameter : method.module()->parameters()) CHECK(parameter.isfinite().all().item<bool>());
}

TEST_CASE("An epoch whose steps were all skipped has no mean loss, and is read back so") {
  const TemporaryFolder temporary;
  auto how = options(temporary.path);
  how.skip_non_finite = batches;
  auto method = tiny_cass();
  auto loader = make_loader();
  struct Record {
    void on_epoch_end(const sm::StepInfo& info) const { info.session->record("mean", info.mean_loss); }
  };
  sm::Trainer{method, how}.fit(loader, Spoil{method.module(), batches, 2 * batches}, Record{},
                               sm::Checkpoint{.keep = 1, .best = "mean", .higher_is_better = false});
  const auto history = sm::read_history(temporary.path);
  REQUIRE(history.size() == epochs);
  for (const std::size_t epoch : {0U, 2U}) CHECK(std::isfinite(history[epoch].loss));
  CHECK(std::isnan(history[1].loss));
  CHECK(std::isnan(history[1].metrics.at(0).second));
  how.existing = ExistingRun::resume;
  CHECK(train(how).result.steps == batches * epochs);
}

TEST_CASE("More such steps in a row than allowed end training") {
  auto how = options("");
  how.skip_non_finite = 2;
  auto method = tiny_cass();
  auto loader = make_loader();
  CHECK_THROWS_MATCHES((sm::Trainer{method, how}.fit(loader, Spoil{method.module(), 6, 100})), sm::NonFiniteError,
                       MessageMatches(ContainsSubstring("the loss is nan at step 8 (epoch 1, batch 3; ids ")));
}

TEST_CASE("The scale of the loss is halved by an overflow and doubled after 2,000 steps without") {
  sm::detail::LossScaler scaler;
  CHECK(scaler.scale == 65536);
  scaler.overflowed();
  scaler.overflowed();
  CHECK(scaler.scale == 16384);
  for (int i = 0; i < 1999; ++i) scaler.fitted();
  CHECK(scaler.scale == 16384);
  scaler.overflowed();  // the count begins anew
  for (int i = 0; i < 1999; ++i) scaler.fitted();
  CHECK(scaler.scale == 8192);
  scaler.fitted();
  CHECK(scaler.scale == 16384);
  for (int i = 0; i < 2000; ++i) scaler.fitted();
  CHECK(scaler.scale == 32768);
}

TEST_CASE("In half precision a loss that is not finite is no overflow: it is counted, and ends training") {
  auto how = options("");
  how.precision = sm::Precision::fp16;
  how.skip_non_finite = GENERATE(0, 2);
  auto method = tiny_cass();
  auto loader = make_loader();
  CHECK_THROWS_MATCHES(
      (sm::Trainer{method, how}.fit(loader, Spoil{method.module(), 6, 100})), sm::NonFiniteError,
      MessageMatches(ContainsSubstring("the loss is nan at step " + std::to_string(6 + how.skip_non_finite))));
}

TEST_CASE("In half precision the loss is scaled, and the scale falls where gradients overflow") {
  auto how = options("");
  how.epochs = 6;
  how.optimizer = sm::AdamW{.lr = 0};  // so that both see the same weights
  struct Seen {
    std::vector<sm::StepInfo>* steps;
    void on_step_end(const sm::StepInfo& info) const { steps->push_back(info); }
  };
  std::vector<sm::StepInfo> full, half;
  train(how, Seen{&full});
  how.precision = sm::Precision::fp16;
  train(how, Seen{&half});
  REQUIRE(half.size() == full.size());
  std::size_t skipped = 0;
  for (std::size_t i = 0; i < full.size(); ++i) {
    if (!half[i].note.empty()) {
      ++skipped;
      continue;
    }
    INFO(i);
    CHECK(std::abs(half[i].loss - full[i].loss) < 0.03 * full[i].loss);
    CHECK(std::abs(half[i].gradient_norm - full[i].gradient_norm) < 0.15 * full[i].gradient_norm);
  }
  CHECK((skipped > 0 && skipped < full.size() / 2));  // gradients of 65,536 times the loss do not fit into fp16
}
