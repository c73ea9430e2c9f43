// training_speed METHOD FOLDER BATCH STEPS [workers] [bf16|fp32] [device]: training as a program does it, data
// included: real pictures of a meme folder (and its vocab.txt) through the loader, the method and the trainer.
//   METHOD   dino_vit_tiny, dino_vit_small, cass_small (ResNet-18 + ViT-Ti), cass_large (ResNet-50 + ViT-S),
//            clip (ViT-S + a BERT of 6 layers)
// Prints "first" after the first optimizer step, then the seconds of each of STEPS steps. Its peer and driver is
// benchmarks/peers/compare_training.py.
#include <sslmeme/sslmeme.hpp>

#include <ATen/Context.h>

#include <chrono>
#include <iostream>
#include <string>

namespace sm = sslmeme;

namespace {

/// Tells of each step as it ends.
struct Stopwatch {
  std::int64_t steps;
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();

  sm::Flow on_step_end(const sm::StepInfo& info) {
    const auto now = std::chrono::steady_clock::now();
    if (info.step == 1) {
      std::cout << "first" << std::endl;
    } else {
      std::cout << std::chrono::duration<double>(now - last).count() << std::endl;
    }
    last = now;
    return info.step > steps ? sm::Flow::stop : sm::Flow::proceed;
  }
};

struct Work {
  std::string folder;
  std::int64_t batch, steps;
  int workers;
  sm::Precision precision;
  std::string device;

  template <class M>
  void train(const M& method, const sm::Views& views, const std::shared_ptr<const sm::Tokenizer>& words = nullptr,
             sm::ClipScope scope = sm::ClipScope::all) const {
    sm::DataLoader loader{sm::MemeJsonl{folder, "train"},
                          views,
                          {.batch_size = batch,
                           .workers = workers,
                           .tokenizer = words,
                           .max_tokens = 77,
                           .pin_memory = device.starts_with("cuda")}};
    sm::Trainer trainer{method,
                        {.epochs = 1000,
                         .optimizer = sm::AdamW{.lr = 5e-4, .weight_decay = 0.04},
                         .precision = precision,
                         .clip_norm = 3,
                         .clip_scope = scope,
                         .device = device}};
    trainer.fit(loader, Stopwatch{steps});
  }
};

void run(const std::string& method, const Work& work) {
  const auto vit = [](const char* size) {
    return sm::image_encoder(std::string{"vit_"} + size + "_patch16_224", {.dynamic_img_size = true});
  };
  if (method == "dino_vit_tiny" || method == "dino_vit_small") {
    const auto* size = method == "dino_vit_tiny" ? "tiny" : "small";
    return work.train(sm::dino(vit(size), {.frozen_epochs = 0}), sm::dino_views(), nullptr, sm::ClipScope::each);
  }
  if (method == "cass_small")
    return work.train(sm::cass(sm::image_encoder("resnet18"), vit("tiny"), {.contrast = 0}), sm::cass_views());
  if (method == "cass_large")
    return work.train(sm::cass(sm::image_encoder("resnet50"), vit("small"), {.contrast = 0}), sm::cass_views());
  if (method == "clip") {
    const auto words = std::make_shared<const sm::WordPiece>(sm::WordPiece::from_file(work.folder + "/vocab.txt"));
    const auto text =
        sm::text_encoder("bert_base", {.vocabulary_size = 30522, .width = 384, .depth = 6, .attention_dropout = 0});
    return work.train(sm::clip(vit("small"), text), sm::clip_train(), words);
  }
  throw sm::InvalidArgument("training_speed: no method \"" + method + "\"");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::cerr << "usage: training_speed METHOD FOLDER BATCH STEPS [workers] [bf16|fp32] [device]\n";
    return 2;
  }
  const bool fp32 = argc > 6 && std::string{argv[6]} == "fp32";
  sm::keep_freed_memory();
  at::globalContext().setBenchmarkCuDNN(true);  // as the peer does; convolutions are not the same in each run then
  try {
    run(argv[1], {argv[2], std::stoll(argv[3]), std::stoll(argv[4]), argc > 5 ? std::stoi(argv[5]) : 1,
                  fp32 ? sm::Precision::fp32 : sm::Precision::bf16, argc > 7 ? argv[7] : "cpu"});
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
