// encoder_throughput THREADS: pictures a second of a training step (forward, backward, AdamW) of the demo's encoders.
// Run two at once with one thread each, then one with two, to see why the demo trains its seeds in processes of their
// own.
#include <sslmeme/core/precision.hpp>
#include <sslmeme/nn/backbone.hpp>
#include <sslmeme/train/optimizer.hpp>

#include <ATen/Parallel.h>

#include <chrono>
#include <iostream>
#include <string>

namespace sm = sslmeme;

namespace {

void measure(const char* name, const sm::ImageEncoder& encoder, std::int64_t batch, sm::Precision precision) {
  const auto pictures = torch::randn({batch, 3, 64, 64});
  sm::Optimizer optimizer{*encoder};
  const auto step = [&] {
    sm::Tensor loss;
    {
      const sm::Autocast autocast{precision, torch::kCPU};
      loss = encoder->forward(pictures).to(torch::kFloat).pow(2).mean();
    }
    optimizer.zero_grad();
    loss.backward();
    optimizer.step(0.1);
  };
  for (int warmup = 0; warmup < 3; ++warmup) step();
  const auto began = std::chrono::steady_clock::now();
  std::int64_t steps = 0;
  double seconds = 0;
  while (seconds < 2.0) {
    step();
    ++steps;
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  }
  std::cout << name << ", batch " << batch << ", " << (precision == sm::Precision::bf16 ? "bf16" : "fp32") << ": "
            << static_cast<double>(steps * batch) / seconds << " img/s\n";
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(argc > 1 ? std::stoi(argv[1]) : 1);
  const auto cnn = sm::image_encoder("resnet18", {.width = 32, .depth = 1});
  const auto vit =
      sm::image_encoder("vit_tiny_patch16_224", {.image_size = 64, .patch_size = 8, .width = 96, .depth = 2});
  for (const auto precision : {sm::Precision::bf16, sm::Precision::fp32}) {
    for (const std::int64_t batch : {32, 64, 128}) {
      measure("resnet18:width=32,depth=1", cnn, batch, precision);
      measure("vit_tiny:patch_size=8,width=96,depth=2", vit, batch, precision);
    }
  }
}
