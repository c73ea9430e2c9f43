// training_cost [optimizer|trainer|checkpoint|memory]: what the trainer costs beside the bare work.
//   optimizer    a step on the 86 million parameters of ViT-B/16 beside LibTorch's fused kernel alone
//   trainer      a step of ViT-Ti at 224 pixels, with the callbacks of the programs, beside a loop written by hand
//   checkpoint   how long training stands still for a checkpoint of 1 GB
//   memory       resident memory over 200 epochs of a small run
#include <sslmeme/sslmeme.hpp>

#include <ATen/Parallel.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

namespace sm = sslmeme;

namespace {

using sm::Tensor;

double seconds_of(const std::function<void()>& body) {
  const auto began = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double resident_mb() {
  std::ifstream status{"/proc/self/statm"};
  double total = 0, resident = 0;
  status >> total >> resident;
  return resident * 4096 / 1e6;
}

void optimizer_cost() {
  const auto encoder = sm::image_encoder("vit_base_patch16_224");
  for (auto& parameter : encoder->parameters()) parameter.mutable_grad() = torch::randn_like(parameter);
  sm::Optimizer ours{*encoder};
  std::vector<Tensor> parameters, gradients, first, second, steps;
  for (auto& parameter : encoder->parameters()) {
    parameters.push_back(parameter);
    gradients.push_back(parameter.grad());
    first.push_back(torch::zeros_like(parameter));
    second.push_back(torch::zeros_like(parameter));
    steps.push_back(torch::zeros({}));
  }
  const auto kernel = [&] {
    const torch::NoGradGuard no_grad;
    at::_foreach_add_(steps, 1);
    at::_fused_adamw_(parameters, gradients, first, second, {}, steps, 1e-3, 0.9, 0.999, 0.01, 1e-8, false, false);
  };
  std::vector<double> of_ours, of_kernel;
  for (int i = 0; i < 15; ++i) {  // turn by turn
    of_ours.push_back(seconds_of([&] { ours.step(); }));
    of_kernel.push_back(seconds_of(kernel));
  }
  std::cout << "optimizer step, ViT-B/16: " << 1e3 * median(of_ours) << " ms; fused kernel alone "
            << 1e3 * median(of_kernel) << " ms; ratio " << median(of_ours) / median(of_kernel) << '\n';
}

/// The same batch again and again.
struct OneBatch {
  sm::Batch batch;
  std::int64_t steps, left = 0;
  void start_epoch(std::int64_t, std::int64_t, int) { left = steps; }
  std::optional<sm::Batch> next() { return left-- > 0 ? std::optional{batch} : std::nullopt; }
  std::int64_t batches_per_epoch() const { return steps; }
};

sm::Batch labelled_batch(std::int64_t n) {
  sm::Batch batch;
  batch.views.push_back(torch::randn({n, 3, 224, 224}));
  batch.labels = torch::arange(n) % 2;
  batch.ids = torch::arange(n);
  return batch;
}

/// After each step of the trainer one by hand, so that both see the machine in the same state.
struct ByTurns {
  std::function<void()> step_by_hand;
  std::vector<double>*by_trainer, *by_hand;
  std::chrono::steady_clock::time_point last = std::chrono::steady_clock::now();
  void on_step_end(const sm::StepInfo&) {
    by_trainer->push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - last).count());
    by_hand->push_back(seconds_of(step_by_hand));
    last = std::chrono::steady_clock::now();
  }
};

void trainer_cost() {
  constexpr std::int64_t size = 16, epochs = 5, steps = 20, warm_up = 5;
  const auto batch = labelled_batch(size);
  sm::Supervised bare{sm::image_encoder("vit_tiny_patch16_224"), nullptr};
  sm::Optimizer optimizer{*bare.module()};
  const auto step_by_hand = [&] {
    optimizer.zero_grad();
    sm::LossOutput output;
    {
      const sm::Autocast autocast{sm::Precision::bf16, torch::kCPU};
      output = bare.step(batch, {});
    }
    output.total.backward();
    const auto norm = optimizer.gradient_norm();
    if (norm > 1) optimizer.scale_gradients(1 / norm);
    optimizer.step();
  };
  const auto run = std::filesystem::temp_directory_path() / "sslmeme_training_cost";
  OneBatch loader{batch, steps};
  std::vector<double> by_trainer, by_hand;
  sm::Trainer{sm::Supervised{sm::image_encoder("vit_tiny_patch16_224"), nullptr},
              {.epochs = epochs,
               .precision = sm::Precision::bf16,
               .clip_norm = 1,
               .output_dir = run,
               .existing = sm::ExistingRun::overwrite}}
      .fit(loader, sm::ProgressBar{}, sm::CsvLog{}, sm::TensorBoardLog{}, sm::Checkpoint{}, sm::StopOnSignal{},
           ByTurns{step_by_hand, &by_trainer, &by_hand});
  std::filesystem::remove_all(run);
  for (auto* times : {&by_trainer, &by_hand}) times->erase(times->begin(), times->begin() + warm_up);
  std::cout << "ViT-Ti/16, 224 pixels, batch " << size << ", bf16, median of " << by_hand.size()
            << " steps by turns: trainer with progress, logs and checkpoints " << 1e3 * median(by_trainer)
            << " ms; by hand " << 1e3 * median(by_hand) << " ms; " << 100 * (median(by_trainer) / median(by_hand) - 1)
            << " % more, " << 100 * (mean(by_trainer) / mean(by_hand) - 1) << " % with the ends of epochs\n";
}

struct Stalls {
  std::vector<double>* seconds;
  void on_step_end(const sm::StepInfo& info) const {
    seconds->push_back(seconds_of([&] { info.session->start_checkpoint(); }));
  }
};

void checkpoint_cost() {
  struct Root : torch::nn::Module {
    Tensor weight = register_parameter("weight", torch::zeros({86'000'000}));
  };
  struct Method {
    std::shared_ptr<Root> root = std::make_shared<Root>();
    sm::LossOutput step(const sm::Batch&, const sm::StepContext&) const {
      return {root->weight.narrow(0, 0, 1).sum(), {}, {}, {}};
    }
    std::shared_ptr<torch::nn::Module> module() const { return root; }
    int views_required() const { return 1; }
  };
  // Between two checkpoints lies more time than a write takes, and the first comes after some training: waiting for a
  // write is not what is measured.
  struct WaitBefore {
    void on_step_end(const sm::StepInfo& info) const {
      if (info.step == 1) std::this_thread::sleep_for(std::chrono::seconds{3});
    }
  };
  struct WaitAfter {
    void on_step_end(const sm::StepInfo& info) const { info.session->save_checkpoint(); }
  };
  std::vector<double> seconds;
  const auto run = std::filesystem::temp_directory_path() / "sslmeme_checkpoint_cost";
  OneBatch loader{labelled_batch(1), 4};
  const auto all = seconds_of([&] {
    sm::Trainer{Method{}, {.epochs = 1, .output_dir = run, .existing = sm::ExistingRun::overwrite}}.fit(
        loader, sm::Checkpoint{.every_epochs = 0}, WaitBefore{}, Stalls{&seconds}, WaitAfter{});
  });
  std::filesystem::remove_all(run);
  std::cout << "checkpoint of 86 million parameters and two moments (1.03 GB): training stands still for ";
  for (const auto s : seconds) std::cout << 1e3 * s << " ms, ";
  std::cout << "whole run with four writes " << all << " s\n";
}

void memory_cost() {
  struct Noise {
    std::size_t size() const { return 64; }
    sm::Sample get(std::size_t i) const {
      sm::Sample sample{sm::Image{64, 64}, {}, {}, static_cast<std::int64_t>(i)};
      sm::Rng rng{i};
      for (auto& value : sample.picture.pixels) value = static_cast<std::uint8_t>(rng.below(256));
      return sample;
    }
  };
  struct Watch {
    void on_epoch_end(const sm::StepInfo& info) const {
      if ((info.epoch + 1) % 40 == 0 || info.epoch == 4)
        std::cout << "epoch " << info.epoch + 1 << ": " << resident_mb() << " MB resident\n" << std::flush;
    }
  };
  const auto run = std::filesystem::temp_directory_path() / "sslmeme_memory_cost";
  sm::DataLoader loader{Noise{}, sm::cass_views({.size = 32}), {.batch_size = 16, .workers = 2}};
  auto method = sm::cass(sm::image_encoder("resnet18", {.width = 16, .depth = 1}),
                         sm::image_encoder("vit_tiny_patch16_224", {.image_size = 32, .patch_size = 8, .depth = 2}));
  sm::Trainer{method, {.epochs = 200, .output_dir = run, .existing = sm::ExistingRun::overwrite}}.fit(
      loader, sm::Checkpoint{.every_epochs = 10}, Watch{});
  std::filesystem::remove_all(run);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string which = argc > 1 ? argv[1] : "";
  if (which.empty() || which == "optimizer") optimizer_cost();
  if (which.empty() || which == "trainer") trainer_cost();
  if (which.empty() || which == "checkpoint") checkpoint_cost();
  if (which.empty() || which == "memory") memory_cost();
}
