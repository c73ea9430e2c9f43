#include <sslmeme/sslmeme.hpp>
namespace sm = sslmeme;

/// Alignment + uniformity (Wang & Isola 2020, arXiv:2005.10242).
struct AlignUniform {
  double uniform_weight = 1.0;
  /// z_a, z_b: (N, D) float. Returns a 0-d mean over the batch.
  sm::Tensor operator()(const sm::Tensor& z_a, const sm::Tensor& z_b) const {
    const auto a = sm::l2_normalize(z_a), b = sm::l2_normalize(z_b);
    return (a - b).pow(2).sum(1).mean() + uniform_weight * torch::pdist(a).pow(2).mul(-2).exp().mean().log();
  }
};
static_assert(sm::PairLoss<AlignUniform>);

int main(int argc, char** argv) {
  sm::MemeJsonl data{argv[1], "train"};  // Hateful Memes layout
  sm::DataLoader loader{data, sm::cass_views({.size = 224}), {.batch_size = 32, .workers = 2, .seed = 7}};
  auto method = sm::cass(sm::image_encoder("resnet50"), sm::image_encoder("vit_small_patch16_224"));
  sm::Trainer trainer{method, {.epochs = 100, .optimizer = sm::AdamW{.lr = 1e-3}, .output_dir = "runs/cass"}};
  trainer.fit(loader, sm::ProgressBar{}, sm::Checkpoint{.every_epochs = 5});

  sm::Siamese mine{sm::image_encoder("resnet50"), sm::projection({.out = 128}), AlignUniform{.uniform_weight = 0.5}};
  sm::Trainer{mine, {.epochs = 10}}.fit(loader, sm::ProgressBar{});
}
