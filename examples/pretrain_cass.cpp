// pretrain_cass: CASS (arXiv:2206.04170) on the pictures of a meme folder; neither words nor labels are used.
#include <sslmeme/method/recipes.hpp>

#include "support/cli.hpp"
#include "support/training.hpp"

namespace {

/// Two Adam optimizers, one for each network, whose rates go down and up again along a cosine of 16 steps.
void train_as_published(sslmeme::TrainerOptions& options, double lr) {
  const sslmeme::AdamW adam{.lr = lr, .weight_decay = 0};
  options.optimizer = adam;
  options.parameters.rules = {{.pattern = "nodes.vit.*", .optimizer = adam}};
  options.schedule = sslmeme::CosineWave{.half_period = sslmeme::Steps{16}, .final_factor = 1e-3};
  options.clip_norm = 0;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace examples;
  CLI::App app{"Pre-trains a CNN and a ViT on each other's view of the same picture (CASS), without labels.",
               "pretrain_cass"};
  TrainingArguments arguments;
  arguments.add_to(app);
  std::string cnn = "resnet50", vit = "vit_small_patch16_224";
  sm::CassOptions options;
  bool reference = false;
  app.add_option("--cnn", cnn, "convolutional encoder, NAME[:key=value,…]")->capture_default_str();
  app.add_option("--vit", vit, "transformer encoder, NAME[:key=value,…]")->capture_default_str();
  app.add_option("--contrast", options.contrast, "weight of the term against collapse")->capture_default_str();
  auto* const published =
      app.add_flag("--reference", reference,
                   "as published: cosine alone on 1000 logits, which may collapse; two Adam optimizers without weight "
                   "decay, warmup or clipping, their rate a cosine wave of 16 steps (there with --batch 16)");
  for (const auto* ours : {"--contrast", "--weight-decay", "--warmup", "--clip-norm"})
    published->excludes(app.get_option(ours));
  app.footer(
      "Example:\n  pretrain_cass --data memes --out runs/cass --size 64 --cnn resnet18:width=32 --vit "
      "vit_tiny_patch16_224:patch_size=8,depth=4");

  return run_program(app, argc, argv, [&] {
    arguments.join_ranks();
    const auto split = arguments.dataset();
    const sm::ImageEncoderOptions encoder{
        .image_size = arguments.size, .num_classes = reference ? 1000 : 0, .seed = arguments.seed};
    options.seed = arguments.seed;
    options.gather = {arguments.ranks};
    auto method = reference ? sm::cass_reference(parse_image_encoder(cnn, encoder), parse_image_encoder(vit, encoder))
                            : sm::cass(parse_image_encoder(cnn, encoder), parse_image_encoder(vit, encoder), options);
    sm::DataLoader loader{split.data, sm::cass_views({.size = arguments.size}), arguments.loader(split)};
    auto trainer = arguments.trainer();
    if (reference) train_as_published(trainer, arguments.lr);
    train(method, arguments, trainer, loader, "cass");
  });
}
