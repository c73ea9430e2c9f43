// A small training run as a process of its own, which tests kill: trainee RUN METHOD [key=value …]
//   resume=1        go on from the newest checkpoint
//   workers=N       of the loader
//   accumulate=N    batches a step
//   every=N         steps between checkpoints
//   width=N         of CASS's ResNet: what a checkpoint has to hold
//   kill_step=N     SIGKILL after step N, before its checkpoint
//   kill_sample=N   SIGKILL when the N-th sample of this process is read
//   pause=MS        after each step
// Prints "step N" after each step and its checkpoint, when the write of the checkpoint before is complete.
#include <sslmeme/sslmeme.hpp>

#include <ATen/Parallel.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace sm = sslmeme;

namespace {

std::map<std::string, std::int64_t> settings;

std::int64_t setting(const std::string& name, std::int64_t otherwise) {
  const auto found = settings.find(name);
  return found == settings.end() ? otherwise : found->second;
}

/// Noise with words and labels.
struct Memes {
  std::shared_ptr<std::atomic<std::int64_t>> read = std::make_shared<std::atomic<std::int64_t>>(0);

  std::size_t size() const { return 24; }
  sm::Sample get(std::size_t i) const {
    if (++*read == setting("kill_sample", -1)) std::raise(SIGKILL);
    sm::Sample sample{sm::Image{16, 16}, i % 2 == 0 ? "the cat sat" : "a dog", static_cast<std::int64_t>(i / 2 % 2),
                      static_cast<std::int64_t>(i)};
    sm::Rng rng{i};
    for (auto& value : sample.picture.pixels) value = static_cast<std::uint8_t>(rng.below(256));
    return sample;
  }
};

sm::ImageEncoder cnn(std::uint64_t seed = 0) {
  return sm::image_encoder("resnet18", {.width = setting("width", 2), .depth = 1, .seed = seed});
}
sm::ImageEncoder vit() {
  return sm::image_encoder("vit_tiny_patch16_224",
                           {.image_size = 16, .patch_size = 8, .width = 12, .depth = 1, .dynamic_img_size = true});
}
sm::TextEncoder text(const sm::WordPiece& words) {
  return sm::text_encoder(
      "bert_base",
      {.vocabulary_size = words.vocabulary_size(), .max_tokens = 12, .width = 24, .depth = 1, .dropout = 0.1});
}

struct Steps {
  void on_step_end(const sm::StepInfo& info) const {
    std::cout << "step " << info.step << std::endl;
    std::this_thread::sleep_for(std::chrono::milliseconds{setting("pause", 0)});
  }
};
struct Kill {
  void on_step_end(const sm::StepInfo& info) const {
    if (info.step == setting("kill_step", -1)) std::raise(SIGKILL);
  }
};

/// Options that have a state, each with one of the methods.
struct Options {
  sm::OptimizerOptions optimizer = sm::AdamW{.lr = 0.01};
  sm::ParameterGroups parameters = {};
  sm::Precision precision = sm::Precision::fp32;
  std::optional<sm::WeightAverage> average = {};
};

Options options_of(const std::string& name) {
  if (name == "everything") {
    return {.optimizer = sm::Lamb{.lr = 0.01}, .precision = sm::Precision::fp16, .average = sm::WeightAverage{}};
  }
  if (name == "simclr") return {.optimizer = sm::Lars{.lr = 0.1}};
  if (name == "moco_v3") return {.optimizer = sm::Sgd{.lr = 0.01}};
  if (name == "cass_mm_fused") return {.precision = sm::Precision::bf16};
  if (name == "edges")
    return {.parameters = {.rules = {{.pattern = "nodes.text.*", .optimizer = sm::Sgd{.lr = 0.01}}}}};
  return {};
}

int train(const std::string& run, const std::string& name) {
  const std::vector<std::string> texts{"the cat sat", "a dog"};
  const auto words = std::make_shared<const sm::WordPiece>(
      sm::WordPiece::from_vocabulary(sm::train_wordpiece(texts, {.vocabulary_size = 60})));
  const auto fit = [&](const auto& method, const sm::Views& views, const auto&... callbacks) {
    sm::DataLoader loader{Memes{},
                          views,
                          {.batch_size = 4,
                           .workers = static_cast<int>(setting("workers", 1)),
                           .seed = 3,
                           .tokenizer = words,
                           .max_tokens = 12}};
    const auto how = options_of(name);
    sm::Trainer trainer{method,
                        {.epochs = 3,
                         .accumulate = setting("accumulate", 1),
                         .optimizer = how.optimizer,
                         .parameters = how.parameters,
                         .schedule = sm::WarmupCosine{.warmup = sm::Steps{4}},
                         .precision = how.precision,
                         .average = how.average,
                         .clip_norm = 1,
                         .output_dir = run,
                         .existing = setting("resume", 0) != 0 ? sm::ExistingRun::resume : sm::ExistingRun::refuse}};
    const sm::Checkpoint checkpoint{.every_epochs = 0, .every_steps = setting("every", 2)};
    const auto result =
        trainer.fit(loader, callbacks..., sm::TensorBoardLog{1}, Kill{}, checkpoint, Steps{}, sm::StopOnSignal{});
    return result.interrupted ? 75 : 0;
  };
  const auto one_view = sm::cass_views({.size = 16});
  if (name == "cass" || name == "everything") return fit(sm::cass(cnn(), vit(), {.dim = 8}), one_view);
  if (name == "cass_mm") {
    return fit(sm::cass_mm(cnn(), vit(), text(*words), {.dim = 8, .modality_dropout = 0.25}), one_view);
  }
  if (name == "cass_mm_fused") {
    return fit(sm::cass_mm_fused(cnn(), vit(), text(*words), {.dim = 8, .modality_dropout = 0.25}), one_view);
  }
  if (name == "edges") {
    const auto head = sm::projection({.out = 8});
    return fit(
        sm::ModalityGraph{sm::node("cnn", cnn(), head), sm::node("vit", vit(), head),
                          sm::node("text", text(*words), head), sm::edge("cnn", "vit", sm::VicReg{}),
                          sm::edge("cnn", "text", sm::SigmoidLoss{}), sm::edge("vit", "text", sm::BarlowTwins{})},
        one_view);
  }
  if (name == "clip") return fit(sm::clip(vit(), text(*words), {.dim = 8}), one_view);
  if (name == "supervised") return fit(sm::Supervised{cnn(), text(*words)}, one_view);
  if (name == "rgcl") {
    sm::Supervised classifier{cnn(), text(*words)};
    sm::RetrievalGuided guided{classifier, {.memory = 24}};
    const auto remember = [&] {
      sm::DataLoader whole{Memes{},
                           sm::eval_views({.size = 16}),
                           {.batch_size = 8,
                            .workers = static_cast<int>(setting("workers", 1)),
                            .shuffle = false,
                            .drop_last = false,
                            .tokenizer = words,
                            .max_tokens = 12}};
      guided.remember(sm::embed(classifier, whole));
    };
    return fit(guided, one_view, sm::BetweenEpochs{remember});
  }
  if (name == "simclr") return fit(sm::simclr(cnn(), {.dim = 8, .hidden = 8}), one_view);
  if (name == "moco_v3") return fit(sm::moco_v3(cnn(), cnn(1), {.dim = 8, .hidden = 8}), one_view);
  if (name == "simsiam") return fit(sm::simsiam(cnn(), {.dim = 8, .hidden = 8}), one_view);
  if (name == "byol") return fit(sm::byol(cnn(), cnn(1), {.dim = 8, .hidden = 8}), one_view);
  if (name == "moco") {
    return fit(sm::Siamese{cnn(), sm::projection({.out = 8}), sm::MocoLoss{{.queue = 16, .dim = 8}},
                           sm::SiameseOptions{.teacher = cnn(1)}},
               one_view);
  }
  if (name == "dino") {
    const sm::DinoMethodOptions options{
        .head = {.prototypes = 24, .hidden = 16, .bottleneck = 8}, .frozen_epochs = 1, .views = 4};
    return fit(sm::dino(vit(), options), sm::dino_views({.global_size = 16, .local_size = 8, .locals = 2}));
  }
  std::cerr << "no method " << name << '\n';
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  for (int i = 3; i < argc; ++i) {
    const std::string item = argv[i];
    settings[item.substr(0, item.find('='))] = std::stoll(item.substr(item.find('=') + 1));
  }
  at::set_num_threads(1);
  const sm::SignalWatch watch;
  try {
    return train(argv[1], argv[2]);
  } catch (const sm::Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
