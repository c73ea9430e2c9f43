// The run directory: what it holds, how a run goes on from it, and that nothing good in it is lost.
#include <sslmeme/core/error.hpp>
#include <sslmeme/core/random.hpp>
#include <sslmeme/data/loader.hpp>
#include <sslmeme/method/recipes.hpp>
#include <sslmeme/nn/weights.hpp>
#include <sslmeme/train/checkpoint.hpp>
#include <sslmeme/train/trainer.hpp>
#include <sslmeme/version.hpp>

#include <ATen/Parallel.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <nlohmann/json.hpp>

#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace fs = std::filesystem;
namespace sm = sslmeme;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using sm::ExistingRun;

namespace {

// Networks this small only wait when two threads share their work.
[[maybe_unused]] const bool one_thread = (at::set_num_threads(1), true);

struct TemporaryFolder {
  fs::path path = fs::temp_directory_path() / ("sslmeme_run_" + std::to_string(std::random_device{}()));
  TemporaryFolder() { fs::create_directories(path); }
  ~TemporaryFolder() { fs::remove_all(path); }
};

/// Noise, made on the spot.
struct Noise {
  std::size_t size() const { return 20; }
  sm::Sample get(std::size_t i) const {
    sm::Sample sample{sm::Image{16, 16}, {}, {}, static_cast<std::int64_t>(i)};
    sm::Rng rng{i};
    for (auto& value : sample.picture.pixels) value = static_cast<std::uint8_t>(rng.below(256));
    return sample;
  }
};

constexpr std::int64_t batches = 5, epochs = 3;

sm::DataLoader make_loader() {
  return {Noise{}, sm::cass_views({.size = 16}), {.batch_size = 4, .workers = 1, .seed = 3}};
}

/// Batch norm, dropout-free; InfoNce's scale and AdamW's moments make a state that a sloppy resume would miss.
sm::ModalityGraph tiny_cass(double contrast = 0.5) {
  return sm::cass(
      sm::image_encoder("resnet18", {.width = 2, .depth = 1}),
      sm::image_encoder("vit_tiny_patch16_224", {.image_size = 16, .patch_size = 8, .width = 12, .depth = 1}),
      {.dim = 8, .contrast = contrast});
}

sm::TrainerOptions options(const fs::path& run, ExistingRun existing = ExistingRun::refuse) {
  return {.epochs = epochs,
          .optimizer = {.lr = 0.01},
          .schedule = {.warmup_epochs = 1},
          .clip_norm = 1,
          .output_dir = run,
          .existing = existing};
}

struct StopAt {
  std::int64_t step;
  sm::Flow on_step_end(const sm::StepInfo& info) const {
    return info.step == step ? sm::Flow::stop : sm::Flow::proceed;
  }
};
struct StopAtEpoch {
  std::int64_t epoch;
  sm::Flow on_epoch_end(const sm::StepInfo& info) const {
    return info.epoch == epoch ? sm::Flow::stop : sm::Flow::proceed;
  }
};
struct Crash : std::runtime_error {
  Crash() : std::runtime_error("power cut") {}
};
struct CrashAt {
  std::int64_t step;
  void on_step_end(const sm::StepInfo& info) const {
    if (info.step == step) throw Crash{};
  }
};

struct Trained {
  sm::FitResult result;
  sm::NamedTensors state;
};

template <class... Callbacks>
Trained train(const sm::TrainerOptions& how, Callbacks... callbacks) {
  auto loader = make_loader();
  sm::Trainer trainer{tiny_cass(), how};
  auto result = trainer.fit(loader, callbacks...);
  return {std::move(result), sm::state_of(*trainer.method().module())};
}

bool bitwise_equal(const sm::NamedTensors& a, const sm::NamedTensors& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && torch::equal(x.second, y.second);
  });
}

std::string bytes_of(const fs::path& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

nlohmann::json json_of(const fs::path& path) {
  return nlohmann::json::parse(bytes_of(path));
}

std::vector<nlohmann::json> log_of(const fs::path& run) {
  std::vector<nlohmann::json> lines;
  std::ifstream file{run / "log.jsonl"};
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

std::set<std::string> checkpoints_of(const fs::path& run) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator{run / "checkpoints"}) names.insert(entry.path().filename());
  return names;
}

/// Every file below `folder` with its bytes.
std::map<std::string, std::string> everything(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator{folder}) {
    if (entry.is_regular_file()) files[entry.path().string()] = bytes_of(entry.path());
  }
  return files;
}

void check_same(const Trained& actual, const Trained& expected, const fs::path& run) {
  CHECK(bitwise_equal(actual.state, expected.state));
  CHECK(actual.result.steps == expected.result.steps);
  REQUIRE(actual.result.history.size() == expected.result.history.size());
  for (std::size_t i = 0; i < expected.result.history.size(); ++i) {
    const auto &a = actual.result.history[i], &b = expected.result.history[i];
    CHECK((a.epoch == b.epoch && a.loss == b.loss && a.parts == b.parts && a.health.size() == b.health.size()));
  }
  const auto log = log_of(run);
  REQUIRE(log.size() == batches * epochs);
  for (std::size_t i = 0; i < log.size(); ++i) CHECK(log[i].at("step") == i + 1);
  CHECK(bitwise_equal(sm::read_safetensors(run / "model.safetensors").tensors, expected.state));
}

}  // namespace

TEST_CASE("A run that was stopped and resumed ends, bit by bit, as one that was not") {
  const TemporaryFolder temporary;
  const auto whole = temporary.path / "whole", cut = temporary.path / "cut";
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

TEST_CASE("resume begins where nothing was yet, too") {
  const TemporaryFolder temporary;
  CHECK(train(options(temporary.path / "new", ExistingRun::resume)).result.steps == batches * epochs);
}

TEST_CASE("A used directory is refused, resumed or overwritten") {
  const TemporaryFolder temporary;
  const auto run = temporary.path / "deep" / "run";
  train(options(run), StopAt{3});
  const auto before = everything(run);
  CHECK_THROWS_MATCHES(
      train(options(run)), sm::InvalidArgument,
      MessageMatches(ContainsSubstring(
          run.string() + " holds a run already: choose another directory, --resume it or --overwrite it")));
  CHECK((everything(run) == before));

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
  const auto before = everything(run);
  const auto refused = [&](const sm::TrainerOptions& how, const sm::ModalityGraph& method, const std::string& what) {
    auto loader = make_loader();
    CHECK_THROWS_MATCHES((sm::Trainer{method, how}.fit(loader)), sm::InvalidArgument,
                         MessageMatches(ContainsSubstring("was run with another configuration (" + what)));
    CHECK((everything(run) == before));
  };
  auto how = options(run, ExistingRun::resume);
  how.optimizer.lr = 0.5;
  refused(how, tiny_cass(),
          "trainer/optimizer/lr: 0.01 then, 0.5 now): resume with the same, or choose another directory");
  how = options(run, ExistingRun::resume);
  how.clip_norm = 0;
  how.seed = 5;
  refused(how, tiny_cass(), "trainer/clip_norm: 1.0 then, 0.0 now; trainer/seed: 0 then, 5 now)");
  refused(options(run, ExistingRun::resume), tiny_cass(0),
          "method/edges/0/loss: \"cosine+info_nce\" then, \"cosine\" now");
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
}

TEST_CASE("config.json tells how the run was made") {
  const TemporaryFolder temporary;
  train(options(temporary.path), StopAt{1});
  const auto config = json_of(temporary.path / "config.json");
  const auto& trainer = config.at("trainer");
  CHECK(trainer.at("epochs") == epochs);
  CHECK(trainer.at("optimizer") ==
        nlohmann::json{
            {"name", "adamw"}, {"lr", 0.01}, {"beta1", 0.9}, {"beta2", 0.999}, {"eps", 1e-8}, {"weight_decay", 0.01}});
  CHECK(trainer.at("schedule") ==
        nlohmann::json{{"name", "warmup_cosine"}, {"warmup_epochs", 1.0}, {"final_factor", 0.0}});
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
    std::set<std::string> files;
    for (const auto& entry : fs::directory_iterator{temporary.path / "checkpoints" / name})
      files.insert(entry.path().filename());
    CHECK(files == std::set<std::string>{"manifest.json", "model.safetensors", "optimizer.safetensors"});
  }
  CHECK(json_of(temporary.path / "checkpoints" / "step-000000012" / "manifest.json").at("batch") == 2);
}

TEST_CASE("A checkpoint needs a run directory") {
  auto how = options("");
  CHECK_THROWS_MATCHES(train(how, sm::Checkpoint{}), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("set TrainerOptions::output_dir")));
  CHECK(train(how).result.steps == batches * epochs);
}

TEST_CASE("A damaged checkpoint is passed over for the one before, and made anew") {
  const TemporaryFolder temporary;
  const auto whole = temporary.path / "whole", run = temporary.path / "run";
  const auto expected = train(options(whole));
  train(options(run), sm::Checkpoint{.every_epochs = 0, .every_steps = 3}, StopAt{9});
  const auto newest = run / "checkpoints" / "step-000000009", older = run / "checkpoints" / "step-000000006";
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
                                        ContainsSubstring("is no valid safetensors file")));
  }
}

TEST_CASE("A damaged config.json is told as such") {
  const TemporaryFolder temporary;
  train(options(temporary.path), StopAt{1});
  std::ofstream{temporary.path / "config.json"} << "{";
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
    CHECK(bitwise_equal(sm::state_of(*loaded), sm::state_of(*trainer.method().image_encoder(node))));
    CHECK(loaded->description() == trainer.method().image_encoder(node)->description());
  }
  CHECK_THROWS_MATCHES(sm::load_image_encoder(temporary.path, "text"), sm::InvalidArgument,
                       MessageMatches(ContainsSubstring("has no node \"text\"; it has: cnn, vit")));
  CHECK_THROWS_MATCHES(sm::load_text_encoder(temporary.path, "vit"), sm::DataError,
                       MessageMatches(ContainsSubstring("described as \"image\" where a text encoder is needed")));
  CHECK_THROWS_AS(sm::load_image_encoder(temporary.path / "nothing", "vit"), sm::IoError);
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
      MessageMatches(
          ContainsSubstring("the loss is nan at step 8 (epoch 1, batch 3; ids ") &&
          ContainsSubstring("the checkpoints in " + (temporary.path / "checkpoints").string() + " are kept")));
  CHECK(checkpoints_of(temporary.path) == std::set<std::string>{"step-000000005"});
  CHECK(log_of(temporary.path).size() == 8);
  const auto expected = train(options(temporary.path / "whole"));
  check_same(train(options(temporary.path, ExistingRun::resume)), expected, temporary.path);
}

namespace {

/// While alive, no file of this process may grow beyond so many bytes: write() then fails as on a full disk.
struct FileSizeLimit {
  explicit FileSizeLimit(rlim_t bytes) : signal{std::signal(SIGXFSZ, SIG_IGN)} {
    getrlimit(RLIMIT_FSIZE, &before);
    const rlimit limit{bytes, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, signal);
  }
  rlimit before{};
  void (*signal)(int);
};

/// A file system of one megabyte, where the system allows to make one.
struct SmallDisk {
  explicit SmallDisk(fs::path where) : path{std::move(where)} {
    fs::create_directories(path);
    mounted = mount("tmpfs", path.c_str(), "tmpfs", 0, "size=1m") == 0;
  }
  ~SmallDisk() {
    if (mounted) umount2(path.c_str(), MNT_DETACH);
  }
  fs::path path;
  bool mounted;
};

/// Nothing of a half written file or checkpoint is left.
void check_no_partial(const fs::path& run) {
  for (const auto& entry : fs::recursive_directory_iterator{run}) {
    const auto name = entry.path().filename().string();
    INFO(name);
    CHECK((name.find(".tmp") == std::string::npos && name.find("partial") == std::string::npos));
  }
}

}  // namespace

TEST_CASE("No space left: the run ends with IoError, older checkpoints stay and serve") {
  const TemporaryFolder temporary;
  const auto whole = temporary.path / "whole", run = temporary.path / "run";
  const auto expected = train(options(whole));
  train(options(run), StopAt{4});
  const auto before = everything(run / "checkpoints");
  const auto model = bytes_of(run / "model.safetensors");
  {
    const FileSizeLimit limit{8192};
    CHECK_THROWS_MATCHES(train(options(run, ExistingRun::resume), StopAt{6}), sm::IoError,
                         MessageMatches(ContainsSubstring("cannot write") && ContainsSubstring(run.string())));
  }
  CHECK((everything(run / "checkpoints") == before));
  CHECK((bytes_of(run / "model.safetensors") == model));
  check_no_partial(run);
  check_same(train(options(run, ExistingRun::resume)), expected, run);
}

TEST_CASE("A disk that is really full: the same") {
  const TemporaryFolder temporary;
  const SmallDisk disk{temporary.path / "disk"};
  if (!disk.mounted) SKIP("mounting a small file system is not allowed here");
  const auto run = disk.path / "run";
  train(options(run), StopAt{4});
  const auto before = everything(run / "checkpoints");
  {
    std::ofstream filler{disk.path / "filler", std::ios::binary};
    const std::string block(4096, 'x');
    while (filler.write(block.data(), 4096) && filler.flush()) {
    }
  }
  CHECK_THROWS_MATCHES(train(options(run, ExistingRun::resume), StopAt{6}), sm::IoError,
                       MessageMatches(ContainsSubstring("No space left") || ContainsSubstring("disk full")));
  CHECK((everything(run / "checkpoints") == before));
  check_no_partial(run);
  fs::remove(disk.path / "filler");
  CHECK(train(options(run, ExistingRun::resume)).result.steps == batches * epochs);
}
