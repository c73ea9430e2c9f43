// pretrain_dino: DINO (arXiv:2104.14294) on the pictures of a meme folder, or of a folder with sub-folders; neither
// words nor labels are used.
#include <sslmeme/method/dino.hpp>

#include "support/cli.hpp"
#include "support/knn_curve.hpp"
#include "support/training.hpp"

int main(int argc, char** argv) {
  using namespace examples;
  CLI::App app{"Pre-trains a picture encoder by self-distillation (DINO), without labels.", "pretrain_dino"};
  TrainingArguments arguments;
  arguments.lr = 5e-4;
  arguments.weight_decay = 0.04;
  arguments.clip_norm = 3;
  arguments.add_to(app);
  std::string encoder = "vit_small_patch16_224";
  sm::DinoMethodOptions options;
  sm::DinoViewOptions views;
  views.local_size = 0;
  double final_weight_decay = 0.4;
  std::string knn;
  app.add_option("--encoder", encoder, "picture encoder, NAME[:key=value,…]")->capture_default_str();
  app.add_option("--local-size", views.local_size, "pixels of the small views [a multiple of 16 near 3/7 of --size]");
  app.add_option("--locals", views.locals, "small views beside the two large ones")->capture_default_str();
  app.add_option("--global-scale", views.global_scale, "least and largest share of the area in large views")
      ->capture_default_str();
  app.add_option("--local-scale", views.local_scale, "the same in small views")->capture_default_str();
  app.add_option("--blur-sigma", views.blur_sigma, "least and largest, in pixels")->capture_default_str();
  app.add_option("--prototypes", options.head.prototypes, "outputs of the head")->capture_default_str();
  app.add_option("--hidden", options.head.hidden, "width of the head")->capture_default_str();
  app.add_flag("--batch-norm", options.head.batch_norm, "in the head, as published for ResNets");
  app.add_option("--momentum", options.momentum, "of the teacher at the start; rises to 1")->capture_default_str();
  app.add_option("--teacher-temperature", options.teacher_temperature.to, "after its warm-up")->capture_default_str();
  app.add_option("--temperature-epochs", options.teacher_temperature.epochs, "of warm-up from 0.04")
      ->capture_default_str();
  app.add_option("--frozen-epochs", options.frozen_epochs, "in which the prototypes do not learn")
      ->capture_default_str();
  app.add_option("--final-weight-decay", final_weight_decay, "reached at the end")->capture_default_str();
  app.add_option("--knn", knn,
                 "folder with train/CLASS and test/CLASS pictures: the teacher's k-NN accuracy there, each epoch");
  app.footer(
      "Example:\n  pretrain_dino --data memes --out runs/dino --size 64 --local-size 32 --prototypes 4096 --encoder "
      "vit_tiny_patch16_224:patch_size=8,depth=4");

  return run_program(app, argc, argv, [&] {
    arguments.join_ranks();
    views.global_size = arguments.size;
    constexpr int patch = 16;
    if (views.local_size == 0) views.local_size = std::max(1, (arguments.size * 3 / 7 + patch / 2) / patch) * patch;
    options.views = 2 + views.locals;
    options.head.seed = arguments.seed;
    options.group = arguments.ranks;
    auto method = sm::dino(
        parse_image_encoder(encoder, {.image_size = arguments.size, .seed = arguments.seed, .dynamic_img_size = true}),
        options);
    auto trainer = arguments.trainer();
    std::get<sm::AdamW>(trainer.optimizer).final_weight_decay = final_weight_decay;
    trainer.clip_scope = sm::ClipScope::each;
    const auto split = arguments.dataset();
    sm::DataLoader loader{split.data, sm::dino_views(views), arguments.loader(split)};
    if (knn.empty()) {
      train(method, arguments, trainer, loader, "dino");
    } else {
      train(method, arguments, trainer, loader, "dino", KnnCurve{knn, arguments.size, method.teacher()});
    }
  });
}
